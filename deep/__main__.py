"""`python -m deep`: see deep/cli.py."""

from deep import NO_TORCH
from reference.command import UserError, run


def main() -> int:
    """Import the command and run it: here, where Ctrl-C is answered, since importing takes seconds.

    Raises:
        UserError: PyTorch is not installed.
    """
    try:
        from deep.cli import main
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UserError(NO_TORCH) from None
    return main()


if __name__ == "__main__":
    run(main)
