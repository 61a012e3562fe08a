"""`python -m reference`: see reference/console/check.py; its `yardstick`: see reference/beyond/yardstick/cli.py."""

import sys

from reference.console.command import run


def main() -> int:
    """Import the command and run it: here, where Ctrl-C is answered, since importing takes a second."""
    if sys.argv[1:2] == ["yardstick"]:
        from reference.beyond.yardstick.cli import main as yardstick

        return yardstick(sys.argv[2:])
    from reference.console.check import main

    return main()


if __name__ == "__main__":
    run(main)
