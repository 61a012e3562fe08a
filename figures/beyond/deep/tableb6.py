"""Table b6, beyond the paper: what Θ needs in the deep runs: its step, warm-up, σ, and the control variate.

column              meaning
validation (test)   best validation loss and the test loss there, for as many plain steps as Δ-STN's whole run costs
below STN, Δ-STN    in how many of the seeds that both have; of the paper's methods at the same rows and epochs
least, last         lowest drop rate at any epoch, and the lowest at the last, means over the seeds
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from figures.beyond.deep.deep_variants import Setting, best_by, by_setting, price, rates
from figures.console.pages import comma_separated, markdown
from reference.console.records import Record

NEEDS = ("mnist-mlp", "fmnist-cnn")
MAKE = "python -m deep mnist-mlp --method delta-stn-cv-normalised --seed 0 1 2, ... (deep/paper/RESULTS.md)"
HEADER = (
    "experiment",
    "rows, epochs",
    "method",
    "seeds",
    "validation (test)",
    "below STN",
    "below Δ-STN",
    "least, last rate",
)
NOTE = """\
Best validation loss (and the test loss there) for as many plain steps as Δ-STN's whole run costs, counted in
operations: mean over the seeds. Below: in how many of the seeds that both have. Least: the lowest of the drop rates at
any epoch, which all start at 0.05; last: the lowest at the last epoch; means over the seeds. CV: with the control
variate; normalised: Θ's step divided by σ².
"""


@dataclass(frozen=True)
class Row:
    """One label of one setting; no number of comparisons where no seed is in both."""

    experiment: str
    preset: str
    rows: int
    epochs: int
    label: str
    seeds: str
    valid: float
    test: float
    below_stn: str
    below_delta_stn: str
    least: float
    last: float


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are in the table."""
    return [run for labels in by_setting(records, NEEDS).values() for runs in labels.values() for run in runs]


def rows(records: Sequence[Record]) -> Iterator[Row]:
    """A row for each label, setting by setting."""
    for setting, labels in by_setting(records, NEEDS).items():
        yield from setting_rows(setting, labels)


def setting_rows(setting: Setting, labels: Mapping[str, Sequence[Record]]) -> Iterator[Row]:
    """A row for each label."""
    limit = max((price(run)[-1] for run in labels.get("Δ-STN", ())), default=np.inf)
    losses = {name: {run.settings["seed"]: best_by(run, limit) for run in runs} for name, runs in labels.items()}
    for name, runs in labels.items():
        valid, test = np.mean(list(losses[name].values()), axis=0)
        lowest = [rates(run).min(axis=1) for run in runs]
        least, last = (
            float(np.mean(rates_there)) for rates_there in ([low.min() for low in lowest], [low[-1] for low in lowest])
        )
        seeds = ", ".join(str(run.settings["seed"]) for run in runs)
        stn, delta_stn = (below_in(losses[name], losses.get(paper, {})) for paper in ("STN", "Δ-STN"))
        yield Row(*setting, name, seeds, float(valid), float(test), stn, delta_stn, least, last)


def below_in(ours: Mapping[int, tuple[float, float]], theirs: Mapping[int, tuple[float, float]]) -> str:
    """'2 of 3': in how many seeds of those in both our validation loss is lower.

    Example:
        >>> below_in({0: (0.1, 0.2), 1: (0.3, 0.4), 2: (0.1, 0.1)}, {0: (0.2, 0.2), 1: (0.2, 0.2)})
        '1 of 2'
    """
    both = [seed for seed in ours if seed in theirs]
    return f"{sum(ours[seed][0] < theirs[seed][0] for seed in both)} of {len(both)}" if both else "–"


def files(records: Sequence[Record]) -> dict[str, bytes]:
    """tableb6.md and tableb6.csv."""
    every = list(rows(records))
    return {
        "tableb6.md": (markdown(HEADER, map(_cells, every)) + "\n" + NOTE).encode(),
        "tableb6.csv": comma_separated(Row, every),
    }


def _cells(row: Row) -> tuple[str, ...]:
    size = f"{row.rows or 'all'}, {row.epochs}"
    ours = [
        below if row.label != paper else "" for below, paper in ((row.below_stn, "STN"), (row.below_delta_stn, "Δ-STN"))
    ]
    return (
        row.experiment,
        size,
        row.label,
        row.seeds,
        f"{row.valid:.3f} ({row.test:.3f})",
        *ours,
        f"{row.least:.2g}, {row.last:.2g}",
    )
