"""What the commands' options may be: whole and finite numbers, paths, and folders that can be written to.

An argument type says what is wrong with the text alone; argparse puts the option's name before it.
"""

import math
import os
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

from reference.console.command import UserError


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """An argument type: a whole number from `least` to `most`."""

    def convert(text: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 10 and least <= int(text) <= most):
            raise ArgumentTypeError(f"{text[:40]!r} is not a whole number from {least} to {most}")
        return int(text)

    return convert


def finite(text: str) -> float:
    """An argument type: a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def positive(text: str) -> float:
    """An argument type: a finite number above zero."""
    if (value := finite(text)) <= 0:
        raise ArgumentTypeError(f"{text!r} is not above zero")
    return value


def fraction(text: str) -> float:
    """An argument type: a number from 0 to below 1."""
    if not 0 <= (value := finite(text)) < 1:
        raise ArgumentTypeError(f"{text!r} is not from 0 to below 1")
    return value


def path(text: str) -> Path:
    """An argument type: a path. What is empty, as a variable of the shell that is not set, is not taken for `.`."""
    if not text:
        raise ArgumentTypeError("a path is empty; give the name of a file or folder")
    return Path(text)


def writable(folder: Path, option: str = "--out") -> Path:
    """The folder, made if need be.

    Raises:
        UserError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}); choose another {option}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{folder} cannot be written to; choose another {option}")
    return folder
