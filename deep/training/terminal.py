"""A run at a terminal: its progress in one line, and Ctrl-C that waits for the end of a step.

The line says how far, how long, the validation loss, and every hyperparameter in its own unit.
"""

import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from types import FrameType
from typing import Any

from tqdm import tqdm

from deep.hyper.declared import Hyperparameter
from deep.hyper.parallel import rank

FORMAT = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
BESIDE = 26
"""Columns of a line beside the summary, the bar being one wide and times hours."""

COLUMNS = 100
"""Where the terminal does not say."""

Part = tuple[str, str, Sequence[float]]
"""Name, unit, values."""


def progress_bar(total: int | None, done: int, progress: bool) -> "tqdm[Any]":
    """A bar of steps; hidden in processes other than the first, and where standard error is closed."""
    return tqdm(total=total, initial=done, bar_format=FORMAT, disable=not (progress and _is_shown()))


def show(line: str) -> None:
    """Write a line above the bar."""
    if _is_shown():
        tqdm.write(line, file=sys.stderr)


def _is_shown() -> bool:
    return rank() == 0 and sys.stderr is not None and not sys.stderr.closed


def summary(
    row: Mapping[str, Any], declared: Sequence[Hyperparameter], rates: Collection[str], columns: int | None = None
) -> str:
    """A row's validation loss and hyperparameters; where a line is too short, ranges of those alike, and short names.

    Args:
        rates: those that are drop rates.
        columns: of the terminal.

    Example:
        >>> declared = [Hyperparameter("drop", 0.1, high=0.5), Hyperparameter("angle", 1.0, high=9.0, unit="°")]
        >>> summary({"valid_loss": 0.25, "drop": 0.125, "angle": 4.0}, declared, ["drop"])
        'valid 0.25 drop 0.12 angle 4°'
    """
    room = (columns or COLUMNS) - BESIDE
    single = [(each.name, each.unit, [row[each.name]]) for each in declared]
    alike = list(_alike(row, declared, rates))
    longest = max(len(name) for name, _, _ in alike)
    tries = [(single, None), *((alike, letters) for letters in range(longest, 1, -1))]
    lines = [f"valid {row['valid_loss']:.4g} {_parts(*attempt)}" for attempt in tries]
    return next((line for line in lines if len(line) <= room), lines[-1])


def _alike(row: Mapping[str, Any], declared: Sequence[Hyperparameter], rates: Collection[str]) -> Iterator[Part]:
    """Drop rates, and of the others those of one unit, whole numbers apart."""

    def kind(each: Hyperparameter) -> tuple[bool, bool, str]:
        return each.name not in rates, each.discrete, each.unit

    for (other, _, unit), group in groupby(sorted(declared, key=kind), kind):
        names = [each.name for each in group]
        several = f"{names[0]}…" if other else "drop"
        yield names[0] if len(names) == 1 else several, unit, [row[name] for name in names]


def _parts(parts: Sequence[Part], letters: int | None) -> str:
    return " ".join(f"{_cut(name, letters)} {_range(numbers)}{unit}" for name, unit, numbers in parts)


def _cut(name: str, letters: int | None) -> str:
    return name if letters is None or len(name) <= letters + 1 else f"{name[:letters]}…"


def _range(numbers: Sequence[float]) -> str:
    least, most = _number(min(numbers)), _number(max(numbers))
    return least if least == most else f"{least}–{most}"


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 99.5 else f"{value:.0f}"


@contextmanager
def interrupts_held() -> Iterator[Callable[[], bool]]:
    """Inside the block Ctrl-C is only noted: the function that is yielded says whether it has pressed.

    Where somebody else answers interrupts, or outside the main thread, nothing changes.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    pressed = threading.Event()

    def note(_signal: int, _frame: FrameType | None) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
