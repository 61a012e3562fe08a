"""Table 4: the MLP with one drop rate: the best fixed rate, with noise, Δ-STN's last rate held, STN and Δ-STN.

row                    records                                               the paper's
best of grid search    grid-search                                           p = 0.5, fixed
p with noise           fixed with `noise`; p near the best of grid search    p = 0.5 with Gaussian noise
p, fixed               fixed; p near where Δ-STN ends                        p = 0.43 (final Δ-STN value)
"""

from collections.abc import Mapping, Sequence

import numpy as np

from figures.reading import results
from figures.reading.results import Group, Part
from figures.reading.trained import GRID, at_best, best, by_setting, replicas
from reference.console.records import Record

NEEDS = ("mnist-dropout-schedule",)
METHODS = (GRID, "fixed", "STN", "Δ-STN")
VARIED = ("values", "noise")
RATE = "drop_input"
MAKE = (
    "python -m deep mnist-dropout-schedule with --method stn delta-stn, --method grid-search --trials N, "
    f"and --method fixed --values {RATE}=P with and without --noise 1"
)
FIXED_PAPER, NOISE_PAPER, LAST_PAPER = (0.059, 0.054), (0.057, 0.059), (0.059, 0.060)
NEAR = 0.03
"""A rate within it of another stands for the same."""
PAPER = {"STN": (0.058, 0.058), "Δ-STN": (0.053, 0.054)}
NOTE = """\
Validation (test) loss at the epoch of lowest validation loss. Mean over the seeds, ± their standard deviation. A fixed
rate has the paper's number of a rate beside it where it stands for the same: the rate that grid search found best, and
the one at which Δ-STN ended. The paper's numbers are those of its own setting: where the preset is another, only the
order can be compared. The verdicts follow the rule in figures/reading/results.py, on validation losses.
"""


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are in the table."""
    return [record for part in parts(records) for record in part.records]


def parts(records: Sequence[Record]) -> list[Part]:
    """One for each setting."""
    return [Part(NEEDS[0], groups(runs), best, 3) for runs in by_setting(records, NEEDS[0], METHODS, VARIED).values()]


def groups(records: Sequence[Record]) -> list[Group]:
    """The rows that have records."""
    searches, tuned = replicas(records, GRID), replicas(records, "Δ-STN")
    last = [run.history[RATE][-1] for run in tuned]
    every = [Group(f"p = {_rates(searches)} (best of grid search)", searches, FIXED_PAPER)] if searches else []
    for (p, noise), runs in by_rate(replicas(records, "fixed")).items():
        if noise:
            paper = NOISE_PAPER if near(p, [at_best(run, RATE) for run in searches]) else None
            every.append(Group(f"p = {p:g} with Gaussian noise, σ = {noise:g}", runs, paper))
        else:
            every.append(Group(f"p = {p:g} fixed", runs, LAST_PAPER if near(p, last) else None))
    return every + [Group(name, runs, PAPER[name]) for name in PAPER if (runs := replicas(records, name))]


def by_rate(records: Sequence[Record]) -> Mapping[tuple[float, float], list[Record]]:
    """Rate and σ of the noise, 0 without -> the runs."""
    groups: dict[tuple[float, float], list[Record]] = {}
    for run in records:
        changes = run.settings["changes"]
        groups.setdefault((changes["values"][RATE], changes.get("noise", 0.0)), []).append(run)
    return dict(sorted(groups.items()))


def near(p: float, others: Sequence[float]) -> bool:
    """Whether p stands for the others' mean."""
    return bool(others) and abs(p - float(np.mean(others))) <= NEAR


def _rates(searches: Sequence[Record]) -> str:
    rates = [at_best(run, RATE) for run in searches]
    return f"{min(rates):.2g}" if min(rates) == max(rates) else f"{min(rates):.2g} to {max(rates):.2g}"


def files(records: Sequence[Record]) -> dict[str, bytes]:
    """table04.md and table04.csv."""
    return results.files("table04", parts(records), "validation (test)", NOTE)
