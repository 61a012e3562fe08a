"""What figure 4 and the tables of many splits read: records of `python -m toy splits`, a row for each run.

name       symbol                      shape
regrets    L_V(r(λ))/L_V(r(λ*)) - 1    (S,)     of one method on S splits, in per cent; infinite where a run diverged
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import fisher_exact

from reference.console.records import Record
from toy.data.datasets import OFFLINE
from toy.paper.splits import EXPERIMENT

NEEDS = (EXPERIMENT,)
MAKE = "python -m toy splits"


def shown(records: Sequence[Record]) -> list[Record]:
    """The records of splits, data sets in their usual order."""
    splits = [record for record in records if record.settings["experiment"] == EXPERIMENT]
    return sorted(splits, key=lambda record: OFFLINE.index(data(record)))


def of_problem(records: Sequence[Record], problem: str) -> list[Record]:
    """Those of one toy experiment, one for each data set."""
    return [record for record in shown(records) if record.settings["problem"] == problem]


def data(record: Record) -> str:
    """The data set's name."""
    return record.settings["data"]["name"]


def regrets(
    record: Record, method: str, column: str = "regret", *, alpha1: float | None = None, outer_eps: str = "drawn"
) -> np.ndarray:
    """One method's, in the order of the seeds; at the α_1 given, or at all (one) that there is."""
    history = record.history
    mine = (history["method"] == method) & (history["outer_eps"] == outer_eps)
    if alpha1 is not None:
        mine &= history["alpha1"] == alpha1
    return 100 * history[column][mine][np.argsort(history["seed"][mine])]


def steps(record: Record) -> list[float]:
    """The α_1 that were tried."""
    return sorted(set(record.history["alpha1"].tolist()))


def diverged(record: Record, method: str, alpha1: float) -> np.ndarray:
    """Of each split whether the method diverged on it."""
    return np.isinf(regrets(record, method, alpha1=alpha1))


def fisher(first: np.ndarray, second: np.ndarray) -> float:
    """Fisher's exact test, two-sided: p of shares this unequal if both methods diverged equally often.

    Example, 11 of 80 against none:
        >>> print(f"{fisher(np.arange(80) < 11, np.zeros(80, bool)):.2g}")
        0.00068
    """
    table = [[np.sum(events), np.sum(~events)] for events in (first, second)]
    answer: Any = fisher_exact(table)
    return float(answer.pvalue)
