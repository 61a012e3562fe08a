"""`python -m reference`: see reference/cli.py; `python -m reference yardstick`: see reference/yardstick/command.py."""

import sys

from reference.command import run


def main() -> int:
    """Import the command and run it: here, where Ctrl-C is answered, since importing takes a second."""
    if sys.argv[1:2] == ["yardstick"]:
        from reference.yardstick.command import main as yardstick

        return yardstick(sys.argv[2:])
    from reference.cli import main

    return main()


if __name__ == "__main__":
    run(main)
