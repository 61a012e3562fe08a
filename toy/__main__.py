"""`python -m toy`: see toy/console/cli.py."""

from reference.console.command import run


def main() -> int:
    """Import the command and run it: here, where Ctrl-C is answered, since importing takes a second."""
    from toy.console.cli import main

    return main()


if __name__ == "__main__":
    run(main)
