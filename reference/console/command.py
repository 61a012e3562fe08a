"""How every command of the project ends: 0 done, 1 a claim does not hold, 2 bad input in one line, 130 Ctrl-C."""

import argparse
import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn


class UserError(Exception):
    """Something a person can put right; its text is one line that says what was wrong and what to do."""


class InputWarning(UserWarning):
    """Something a person should know about the input, though the work goes on."""


class Parser(argparse.ArgumentParser):
    """An argument parser that refuses in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see: {self.prog} --help)")


def command_line() -> list[str]:
    """How this process was called, for records: `python -m toy ...` without the folder that it lies in."""
    module = Path(sys.argv[0])
    name = ["python", "-m", module.parent.name] if module.name == "__main__.py" else [module.name]
    return [*name, *sys.argv[1:]]


def run(main: Callable[[], int]) -> NoReturn:
    """Run `main` as a command and exit with its status; a UserError or a failing disk is one line and status 2."""
    warnings.showwarning = _print_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A λ, or a strange file name, on a terminal that cannot show it.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = _status(main)
    except UserError as error:
        status = _say(f"error: {error}", 2)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing is wrong, and nothing more can be said.
        _drop(sys.stdout)
        status = 0
    except OSError as error:
        _drop(sys.stdout)
        where = f"{error.filename}: " if error.filename else ""
        status = _say(f"error: {where}{error.strerror or error}; free or choose another place and run again", 2)
    except MemoryError:
        status = _say("error: memory ran out; ask for less at a time and run again", 2)
    except KeyboardInterrupt:
        status = _say("interrupted: finished runs are kept, run the same command again for the rest", 130)
    sys.exit(status)


def _status(main: Callable[[], int]) -> int | str | None:
    try:
        status = main()
    except SystemExit as end:  # argparse's --help
        status = end.code
    if sys.stdout is not None:  # as it is where standard output was closed
        sys.stdout.flush()  # here, where a failure can still be answered, rather than at exit
    return status


def _drop(stream: Any) -> None:
    # What could not be written would fail once more at exit.
    if stream is not None:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _say(text: str, status: int) -> int:
    try:
        print(" ".join(text.split()), file=sys.stderr)
    except OSError:
        _drop(sys.stderr)
    return status


def _print_warning(message, category, filename, lineno, file=None, line=None) -> None:
    if issubclass(category, InputWarning):
        print(" ".join(f"warning: {message}".split()), file=sys.stderr)
    else:
        print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=file or sys.stderr)
