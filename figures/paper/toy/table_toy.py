"""The table of the toy experiments: final regret, errors of Θ and of the hypergradient, and the verdicts.

name       meaning
Row        one method on one data set, over its seeds
rows       the numbers; `numbers_table` shows them, toy.csv has them unrounded
verdicts   the paper's claims and what came out, by the rule of `figures.reading.verdicts`
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from figures.console.pages import comma_separated, markdown
from figures.reading.selection import diverged, panels, replicas
from figures.reading.verdicts import CLAIMS, number, regret, verdict
from reference.console.records import Record
from reference.rule.updates import METHODS
from toy.data.datasets import OFFLINE

NEEDS = ("ridge", "ridge-undivided", "dropout", "linear-network", "decoupling")
DATA = OFFLINE
NAMES = tuple(method.name for method in METHODS)
NOTE = """\
Final regret L_V(r(λ))/L_V(r(λ\\*)) - 1 in per cent, median (range) over the seeds, each a split of its own; ∞ where a
run diverged. Error of Θ: ‖J_vwΘ - dv\\*/dλ‖/‖dv\\*/dλ‖ at the last kept step, median; it grows without bound as the
penalty vanishes, and dv\\*/dλ with it. Sign: the cosine to the exact hypergradient, which with one hyperparameter is +1
or -1, its mean over the kept steps, median over the seeds. The verdicts follow the rule in
figures/reading/verdicts.py. Five splits are few: of two equal methods a given one is lower in three or more, which is
all that the rule asks for, in half of all cases, in four or more 6 times in 32, in all five once.
"""


@dataclass(frozen=True)
class Row:
    """One method on one data set; regrets in per cent."""

    experiment: str
    data: str
    method: str
    seeds: int
    diverged: int
    regret_median: float
    regret_least: float
    regret_most: float
    theta_error: float
    sign: float


def rows(records: Sequence[Record], experiments: Sequence[str] = NEEDS, names: Sequence[str] = NAMES) -> Iterator[Row]:
    """A row for each experiment, data set and method, or variant of one."""
    for experiment in experiments:
        for data, group in panels(records, experiment, names).items():
            for method in names:
                if runs := replicas(group, method):
                    yield _row(experiment, data, method, runs)


def _row(experiment: str, data: str, method: str, runs: Sequence[Record]) -> Row:
    regrets = [regret(run) for run in runs]
    shown = [run.history for run in runs if run.history["update"].size]
    errors = [history["theta_error"][-1] for history in shown] or [np.nan]
    signs = [history["hypergradient_cosine"].mean() for history in shown] or [np.nan]
    spread = float(np.median(regrets)), min(regrets), max(regrets)
    medians = float(np.median(errors)), float(np.median(signs))
    return Row(experiment, data, method, len(runs), sum(map(diverged, runs)), *spread, *medians)


def verdicts(records: Sequence[Record]) -> Iterator[tuple[str, str, str, str]]:
    """Experiment, data set, the paper's claim, and what came out."""
    for claim in CLAIMS:
        for data, runs in panels(records, claim.experiment, NAMES).items():
            yield claim.experiment, data, claim.text, verdict(claim, runs)


def numbers_table(records: Sequence[Record], experiments: Sequence[str] = NEEDS, names: Sequence[str] = NAMES) -> str:
    """The numbers in Markdown, rounded to two figures."""
    header = ("experiment", "data", "method", "final regret, %", "error of Θ", "sign", "diverged")
    return markdown(header, map(_cells, rows(records, experiments, names)))


def verdicts_table(records: Sequence[Record]) -> str:
    """The verdicts in Markdown."""
    return markdown(("experiment", "data", "the paper", "here"), verdicts(records))


def files(records: Sequence[Record]) -> dict[str, bytes]:
    """toy.md and toy.csv."""
    page = f"{numbers_table(records)}\n{verdicts_table(records)}\n{NOTE}"
    return {"toy.md": page.encode(), "toy.csv": comma_separated(Row, rows(records))}


def _cells(row: Row) -> Sequence[str]:
    spread = f"{number(row.regret_median)} ({number(row.regret_least)} to {number(row.regret_most)})"
    sign = "–" if np.isnan(row.sign) else f"{row.sign:.2f}".replace("-0.00", "0.00").replace("-", "−")
    name = row.data.replace("|", "\\|").encode(errors="replace").decode()
    return row.experiment, name, row.method, spread, number(row.theta_error), sign, f"{row.diverged} of {row.seeds}"
