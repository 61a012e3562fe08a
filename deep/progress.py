"""A run's progress in one line: how far, how long, the validation loss, and every hyperparameter in its own unit."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from deep.hyper.declared import Hyperparameter

FORMAT = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
ELSEWHERE = 26
"""Columns of a line beside the summary, the bar being one wide and times hours."""

COLUMNS = 100
"""Where the terminal does not say."""

Part = tuple[str, str, Sequence[float]]
"""Name, unit, values."""


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
    room = (columns or COLUMNS) - ELSEWHERE
    single = [(one.name, one.unit, [row[one.name]]) for one in declared]
    alike = list(_alike(row, declared, rates))
    longest = max(len(name) for name, _, _ in alike)
    tries = [(single, None), *((alike, letters) for letters in range(longest, 1, -1))]
    lines = [f"valid {row['valid_loss']:.4g} {_shown(*one)}" for one in tries]
    return next((line for line in lines if len(line) <= room), lines[-1])


def _alike(row: Mapping[str, Any], declared: Sequence[Hyperparameter], rates: Collection[str]) -> Iterator[Part]:
    """Drop rates, and of the others those of one unit, whole numbers apart."""

    def kind(one: Hyperparameter) -> tuple[bool, bool, str]:
        return one.name not in rates, one.discrete, one.unit

    for (other, _, unit), those in groupby(sorted(declared, key=kind), kind):
        names = [one.name for one in those]
        several = f"{names[0]}…" if other else "drop"
        yield names[0] if len(names) == 1 else several, unit, [row[name] for name in names]


def _shown(parts: Sequence[Part], letters: int | None) -> str:
    return " ".join(f"{_cut(name, letters)} {_range(numbers)}{unit}" for name, unit, numbers in parts)


def _cut(name: str, letters: int | None) -> str:
    return name if letters is None or len(name) <= letters + 1 else f"{name[:letters]}…"


def _range(numbers: Sequence[float]) -> str:
    least, most = _number(min(numbers)), _number(max(numbers))
    return least if least == most else f"{least}–{most}"


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 99.5 else f"{value:.0f}"
