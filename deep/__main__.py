"""`python -m deep`: see deep/cli.py."""

from reference.command import run


def main() -> int:
    """Import the command and run it: here, where Ctrl-C is answered, since importing takes seconds."""
    from deep.cli import main

    return main()


if __name__ == "__main__":
    run(main)
