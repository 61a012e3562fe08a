"""`python -m figures`: see figures/console/cli.py."""

import os

from reference.console.command import run


def main() -> int:
    """Import the command and run it: here, where Ctrl-C is answered, since importing takes a second."""
    os.environ.pop("MPLBACKEND", None)  # a notebook's kernel exports its own, which may not be there
    from figures.console.cli import main

    return main()


if __name__ == "__main__":
    run(main)
