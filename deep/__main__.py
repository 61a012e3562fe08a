"""`python -m deep`: see deep/runner/cli.py."""

from deep import NO_TORCH
from reference.console.command import UserError, run


def main() -> int:
    """Import the command and run it: here, where Ctrl-C is answered, since importing takes seconds.

    Raises:
        UserError: a package of the extra `deep` is not installed.
    """
    try:
        from deep.runner.cli import main
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise UserError(NO_TORCH) from None
        raise UserError(f"python -m deep needs {error.name}: pip install -e '.[deep]'") from None
    return main()


if __name__ == "__main__":
    run(main)
