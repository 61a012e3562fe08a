"""What figure b4 and its table share: the laboratory's records of the full size, and medians over their seeds.

name        meaning
by_regime   regime -> its records, in the laboratory's order
curve       one estimator's prices and median errors, by budget
"""

from collections.abc import Callable, Sequence

import numpy as np

from reference.console.records import Record
from toy.beyond.laboratory import EXPERIMENT
from toy.beyond.regimes import SMALL

NEEDS = (EXPERIMENT,)
MAKE = "python -m toy estimators --full"


def shown(records: Sequence[Record]) -> list[Record]:
    """The records of the full size."""
    return [
        record
        for record in records
        if record.settings["experiment"] == EXPERIMENT and record.settings["size"] == "full"
    ]


def by_regime(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Regimes that have records."""
    groups = {name: [record for record in records if record.settings["regime"] == name] for name in SMALL}
    return {name: group for name, group in groups.items() if group}


def estimators(records: Sequence[Record]) -> list[str]:
    """Their names, in the order of measurement."""
    return list(dict.fromkeys(str(name) for record in records for name in record.history["estimator"]))


def curve(
    records: Sequence[Record],
    estimator: str,
    column: str = "relative_error",
    over_seeds: Callable[..., np.ndarray] = np.median,
) -> tuple[np.ndarray, np.ndarray]:
    """Prices and the column at each of an estimator's budgets: medians over the seeds, or the column's ends."""
    mine = [record.history["estimator"] == estimator for record in records]
    columns = [
        [record.history[name][where] for record, where in zip(records, mine, strict=True) if where.any()]
        for name in ("price", column)
    ]
    price, values = (np.array(parts, dtype=float) for parts in columns)
    return np.median(price, axis=0), over_seeds(values, axis=0)


def cheapest(records: Sequence[Record], estimator: str, error: float) -> float:
    """The least price at which the median error is at most `error`; infinite where none is."""
    price, errors = curve(records, estimator)
    enough = price[errors <= error]
    return float(enough.min()) if enough.size else np.inf


def seeds(records: Sequence[Record]) -> int:
    """How many."""
    return len({record.settings["seed"] for record in records})
