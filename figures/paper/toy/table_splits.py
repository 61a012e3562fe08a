"""Tables of many splits: the methods' order, λ's step at a drawn ε beside ε = 0, and who diverges at which α_1.

table        columns
order        medians of the final regret, and on how many splits Δ-STN's is lower
outer step   medians of the regret at the end and over the whole run, and on how many splits ε = 0 is lower
stability    runs that diverged with H.4 to the letter, and Fisher's exact test of Centered STN against Δ-STN
"""

from collections.abc import Iterator, Sequence

import numpy as np

from figures.console.pages import markdown
from figures.reading import splits
from figures.reading.splits import MAKE, NEEDS, data, shown
from reference.console.records import Record
from reference.rule.updates import CENTERED_STN, DELTA_STN, METHODS, STN

__all__ = ["MAKE", "NEEDS", "files", "shown"]

PROBLEMS = ("ridge", "dropout", "linear-network")
UNDIVIDED = "linear-network-undivided"
CENTRED, DELTA = CENTERED_STN.name, DELTA_STN.name
DIVERGING = (STN.name, CENTRED, DELTA)
"""Figure 4's."""
CELL, ENDS = ("experiment", "data"), ("end: ε drawn", "ε = 0", "lower")
NOTE = """\
Regret L_V(r(λ))/L_V(r(λ\\*)) - 1 in per cent, medians over the splits; ∞ where half of the runs or more diverged. Whole
run: its mean over the kept steps. Lower: on how many splits. p: Fisher's exact test, two-sided, of the shares of
Centered STN and Δ-STN over all data sets.
"""


def order(records: Sequence[Record]) -> Iterator[Sequence[str]]:
    """A row for each problem and data set; on ridge and dropout Δ-STN is Centered STN, bit for bit."""
    for record in _compared(records):
        finals = {method.name: splits.regrets(record, method.name) for method in METHODS}
        medians = " / ".join(two_digits(np.median(regrets)) for regrets in finals.values())
        below = [np.sum(finals[DELTA] < finals[other]) for other in (STN.name, CENTRED)]
        same = np.array_equal(finals[DELTA], finals[CENTRED])
        yield record.settings["problem"], data(record), medians, f"{below[0]}", "-" if same else f"{below[1]}"


def outer_step(records: Sequence[Record]) -> Iterator[Sequence[str]]:
    """A row for each problem, data set and method, Centered STN where it is another than Δ-STN."""
    for record in _compared(records):
        for name in (STN.name, CENTRED, DELTA):
            if name == CENTRED and np.array_equal(splits.regrets(record, CENTRED), splits.regrets(record, DELTA)):
                continue
            cells = [record.settings["problem"], data(record), name]
            for column in ("regret", "mean_regret"):
                drawn, zero = (splits.regrets(record, name, column, outer_eps=eps) for eps in ("drawn", "0"))
                cells += [two_digits(np.median(drawn)), two_digits(np.median(zero)), f"{np.sum(zero < drawn)}"]
            yield cells


def stability(records: Sequence[Record]) -> Iterator[Sequence[str]]:
    """A row for each α_1: runs that diverged, `STN / Centered STN / Δ-STN` on each data set, and p over all."""
    sets = splits.of_problem(records, UNDIVIDED)
    for alpha1 in splits.steps(sets[0]) if sets else []:
        lost = {name: [splits.diverged(record, name, alpha1) for record in sets] for name in DIVERGING}
        counts = (" / ".join(f"{lost[name][k].sum()}" for name in DIVERGING) for k in range(len(sets)))
        p = splits.fisher(np.concatenate(lost[CENTRED]), np.concatenate(lost[DELTA]))
        yield f"{alpha1:g}", *counts, f"{p:.1g}"


def files(records: Sequence[Record]) -> dict[str, bytes]:
    """splits.md."""
    sets = [data(record) for record in splits.of_problem(records, UNDIVIDED)]
    parts = (
        markdown((*CELL, "medians", "Δ-STN below STN", "below Centered STN"), order(records)),
        markdown((*CELL, "method", *ENDS, "whole run: ε drawn", *ENDS[1:]), outer_step(records)),
        markdown(("α_1", *sets, "p"), stability(records)),
        NOTE,
    )
    return {"splits.md": "\n".join(parts).encode()}


def two_digits(percent: float) -> str:
    """Two digits that count; ∞ where the median run diverged.

    Example:
        >>> two_digits(0.0998), two_digits(0.005812), two_digits(123.4), two_digits(np.inf)
        ('0.10', '0.0058', '120', '∞')
    """
    if np.isinf(percent):
        return "∞"
    return f"{float(f'{percent:.1e}'):#.2g}".rstrip(".") if percent < 100 else f"{float(f'{percent:.1e}'):.0f}"


def _compared(records: Sequence[Record]) -> Iterator[Record]:
    for problem in PROBLEMS:
        yield from splits.of_problem(records, problem)
