"""Table b5, beyond the paper: what is left at the end, and how soon a regret of 1 % is reached for good."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from figures.beyond.estimators.alternatives import LBFGS, MAKE, NEEDS, TITLES, Trace, shown, traces
from figures.console.pages import comma_separated, markdown
from reference.console.records import Record

__all__ = ["MAKE", "NEEDS", "files", "shown"]

ENOUGH = 0.01
HEADER = ("problem", "alternative", "regret at the end, %", "1 % reached", "gradient-equivalents", "time")
NOTE = """\
Regret at the end: median (range) over the splits; ∞ where a run diverged. 1 % reached: on how many splits the regret
falls to 1 % and stays there; of those the median of gradient-equivalents until then, and of the time, as a multiple of
what L-BFGS needs for the same on the same split. A grid's end is its largest size.
"""


@dataclass(frozen=True)
class Row:
    """One alternative on one problem; no number where 1 % is never reached."""

    problem: str
    alternative: str
    splits: int
    regret: float
    least: float
    most: float
    reached: int
    price: float
    time: float


def rows(record: Record) -> Iterator[Row]:
    """A row for each alternative."""
    by_name = traces(record)
    yardstick = [when(trace)[0] for trace in by_name[LBFGS]]
    for name, repeats in by_name.items():
        ends = [trace.regret[-1] for trace in repeats]
        reached = np.array([when(trace) for trace in repeats])
        times = reached[:, 0] / yardstick
        there = np.isfinite(reached[:, 1])
        spread = float(np.median(ends)), float(min(ends)), float(max(ends))
        price = float(np.median(reached[there, 1])) if there.any() else np.nan
        both = times[there & np.isfinite(times)]
        time = float(np.median(both)) if both.size else np.nan
        yield Row(record.settings["name"], name, len(repeats), *spread, int(there.sum()), price, time)


def when(trace: Trace) -> tuple[float, float]:
    """Seconds and gradient-equivalents from which on the regret is at most 1 %; infinite where it never is.

    Example, it falls, rises again, and falls for good:
        >>> when(Trace(np.arange(4.0), np.arange(4.0) * 10, np.array([0.5, 0.001, 0.2, 0.005])))
        (3.0, 30.0)
    """
    high = np.flatnonzero(~(trace.regret <= ENOUGH))
    first = high[-1] + 1 if high.size else 0
    return (float(trace.seconds[first]), float(trace.price[first])) if first < len(trace.regret) else (np.inf, np.inf)


def files(records: Sequence[Record]) -> dict[str, bytes]:
    """tableb5.md and tableb5.csv."""
    every = [row for record in shown(records) for row in rows(record)]
    page = markdown(HEADER, (_cells(row) for row in every)) + "\n" + NOTE
    return {"tableb5.md": page.encode(), "tableb5.csv": comma_separated(Row, every)}


def _cells(row: Row) -> tuple[str, ...]:
    regret = f"{_percent(row.regret)} ({_percent(row.least)} to {_percent(row.most)})"
    price, time = (_two_digits(number) if np.isfinite(number) else "–" for number in (row.price, row.time))
    return TITLES[row.problem], row.alternative, regret, f"{row.reached} of {row.splits}", price, time


def _percent(regret: float) -> str:
    if not np.isfinite(regret):
        return "∞"
    return _two_digits(100 * regret) if regret >= 1e-5 else "<0.001"


def _two_digits(number: float) -> str:
    return f"{float(f'{number:.2g}'):g}"
