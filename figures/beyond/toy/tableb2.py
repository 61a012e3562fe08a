"""Table b2, beyond the paper: the numbers of figure b1, the error of Θ against σ with and without control variate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from figures.beyond.toy import figb1
from figures.console.pages import comma_separated, markdown
from figures.reading.selection import current_of
from figures.reading.verdicts import number
from reference.console.records import Record
from toy.data.datasets import load

NOTE = """\
Means over the seeds of ‖Θ - ∂r/∂λ‖/‖∂r/∂λ‖: of Θ itself, median over the second half of a run; of Θ's mean over that
half; and of the Θ that minimises Eqn. 3.10 with w0 at its optimum, exact (bias).
"""


@dataclass(frozen=True)
class Row:
    """One method at one σ on one data set."""

    data: str
    sigma: float
    method: str
    seeds: int
    error: float
    averaged: float
    bias: float


def rows(records: Sequence[Record]) -> Iterator[Row]:
    """A row for each data set, σ and method."""
    for data in figb1.DATA:
        current = current_of(records, figb1.NEEDS[0], load(data))
        for sigma in figb1.SIGMAS:
            for name in figb1.METHODS:
                if runs := figb1.runs_of(current, name, sigma):
                    error, averaged = (float(np.mean([*map(f, runs)])) for f in (figb1.error, figb1.averaged))
                    bias = float(np.mean([figb1.bias(run, sigma) for run in runs]))
                    yield Row(data, sigma, name, len(runs), error, averaged, bias)


def numbers_table(records: Sequence[Record]) -> str:
    """The numbers in Markdown, rounded to two figures."""
    header = ("data", "σ", "method", "error of Θ", "of its mean", "bias")
    return markdown(header, map(_cells, rows(records)))


def files(records: Sequence[Record]) -> dict[str, bytes]:
    """tableb2.md and tableb2.csv."""
    return {
        "tableb2.md": f"{numbers_table(records)}\n{NOTE}".encode(),
        "tableb2.csv": comma_separated(Row, rows(records)),
    }


def _cells(row: Row) -> Sequence[str]:
    return row.data, f"{row.sigma:g}", row.method, number(row.error), number(row.averaged), number(row.bias)
