"""What figure and table b5 read: records of `python -m benchmarks.alternatives`, one for each problem.

name       symbol    shape    meaning
seconds    -         (K,)     of one core, since the alternative began
price      -         (K,)     gradient-equivalents (reference/beyond/estimators)
regret     -         (K,)     L_V(r(λ))/L_V(r(λ*)) - 1 at the λ that a user would take then; infinite once diverged

A grid of scikit-learn's is a search of its own for each size: a row of the history each, from the smallest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reference.console.records import Record

NEEDS = ("alternatives",)
MAKE = "python -m benchmarks.alternatives"
TITLES = {
    "ridge": "ridge (diabetes)",
    "logistic": "logistic regression (digits)",
    "8-penalties": "8 penalties (concrete)",
    "44-penalties": "44 penalties (concrete, degree 2)",
}
LBFGS = "L-BFGS, exact hypergradient"


@dataclass(frozen=True)
class Trace:
    """One alternative on one split."""

    seconds: np.ndarray
    price: np.ndarray
    regret: np.ndarray


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are read: one for each problem, in the order of the titles."""
    by_name = {record.settings["name"]: record for record in records if record.settings["experiment"] == NEEDS[0]}
    return [by_name[name] for name in TITLES if name in by_name]


def traces(record: Record) -> Mapping[str, list[Trace]]:
    """Alternative -> a trace for each split."""
    columns = record.history
    by_name: dict[str, list[Trace]] = {}
    for name in dict.fromkeys(columns["method"].tolist()):
        for seed in np.unique(columns["seed"]):
            mine = (columns["method"] == name) & (columns["seed"] == seed)
            trace = Trace(columns["seconds"][mine], columns["price"][mine], columns["regret"][mine])
            by_name.setdefault(name, []).append(trace)
    return by_name


def by_size(repeats: Sequence[Trace], axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Of grids: medians over the splits for each size, which all splits have."""
    return np.median([getattr(trace, axis) for trace in repeats], axis=0), np.median(
        [each.regret for each in repeats], axis=0
    )


def median(repeats: Sequence[Trace], axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Median over the splits, each a step that keeps its last value, from where all have begun.

    Example:
        >>> trace = Trace(np.array([1.0, 3.0]), np.array([1.0, 3.0]), np.array([0.5, 0.1]))
        >>> two = Trace(np.array([2.0]), np.array([2.0]), np.array([0.3]))
        >>> [column.round(9).tolist() for column in median([trace, two], "price")]
        [[2.0, 3.0], [0.4, 0.2]]
    """
    steps = [(getattr(trace, axis), trace.regret) for trace in repeats]
    steps = [(x[order], y[order]) for x, y in steps for order in [np.argsort(x, kind="stable")]]
    grid = np.unique(np.concatenate([x for x, _ in steps]))
    grid = grid[grid >= max(x[0] for x, _ in steps)]
    return grid, np.median([y[np.searchsorted(x, grid, side="right") - 1] for x, y in steps], axis=0)
