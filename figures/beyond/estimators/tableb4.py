"""Table b4, beyond the paper: what each estimator costs in each regime until its error is a tenth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from figures.beyond.estimators.laboratory import MAKE, NEEDS, by_regime, cheapest, curve, estimators, seeds, shown
from figures.console.pages import comma_separated, markdown
from reference.console.records import Record

__all__ = ["MAKE", "NEEDS", "files", "shown"]

ENOUGH = 0.1
NOTE = """\
The least price, in gradients of the whole training loss, among the budgets that were measured, at which the relative
error of the hypergradient (median over the seeds) is at most a tenth; in brackets, where none is, the least error that
was reached. – : not measured (a singular Hessian has no Cholesky factor; what takes too long is left out).
"""


@dataclass(frozen=True)
class Row:
    """One estimator at one of its budgets in one regime: medians over the seeds, and the errors' range."""

    regime: str
    estimator: str
    seeds: int
    price: float
    relative_error: float
    cosine: float
    sign: float
    least_error: float
    most_error: float


def rows(records: Sequence[Record]) -> Iterator[Row]:
    """Everything that was measured."""
    for regime, group in by_regime(records).items():
        for name in estimators(group):
            price, error = curve(group, name)
            others = (curve(group, name, "cosine"), curve(group, name, "sign"))
            ends = (curve(group, name, over_seeds=end) for end in (np.min, np.max))
            columns = (price, error, *(values for _, values in (*others, *ends)))
            for values in zip(*columns, strict=True):
                yield Row(regime, name, seeds(group), *map(float, values))


def cell(records: Sequence[Record], estimator: str) -> str:
    """A price, or the least error in brackets.

    Rounded to three figures, so that prices below a gradient are seen.
    """
    if estimator not in estimators(records):
        return "–"
    price = cheapest(records, estimator, ENOUGH)
    return f"{price:.3g}" if np.isfinite(price) else f"({np.min(curve(records, estimator)[1]):.2g})"


def files(records: Sequence[Record]) -> dict[str, bytes]:
    """tableb4.md and tableb4.csv."""
    chosen = shown(records)
    groups = by_regime(chosen)
    body = [[name, *(cell(group, name) for group in groups.values())] for name in estimators(chosen)]
    page = f"{markdown(('estimator', *groups), body)}\n{NOTE}"
    return {"tableb4.md": page.encode(), "tableb4.csv": comma_separated(Row, rows(chosen))}
