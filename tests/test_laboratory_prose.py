"""toy/beyond/LABORATORY.md: its numbers are what the committed records give, errors to two figures."""

import math
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

from figures.beyond.estimators.laboratory import by_regime, cheapest, curve, estimators, shown
from figures.reading import archive
from reference.beyond.estimators.price import LOSS, PRODUCT
from reference.console.records import Record
from toy.beyond.laboratory import EXPERIMENT

PAGE = (Path(__file__).parent.parent / "toy/beyond/LABORATORY.md").read_text(encoding="utf-8")
SMALL, CV = "Δ-STN, normalised", "Δ-STN with control variate, normalised"
CARRIED = ", carried over"
LAST, MIDDLE, SHORT = -1, -2, 2
"""Budgets by place: the largest, that of 250 gradients, and that of 17 in mini-batches."""


@cache
def records() -> dict[str, list[Record]]:
    """Regime -> the committed records of the full size."""
    return by_regime(shown(archive.gather(EXPERIMENT, archive.COMMITTED)))


def value(
    regime: str, estimator: str, place: int, over: Callable[..., np.ndarray] = np.median, column: str = "relative_error"
) -> float:
    """A column at one budget: the median over seeds, or an end of its range."""
    return float(curve(records()[regime], estimator, column, over)[1][place])


def price(regime: str, estimator: str, place: int = LAST) -> str:
    """In gradients."""
    actual = curve(records()[regime], estimator)[0][place]
    return f"{actual:.1f}" if actual < 10 else f"{actual:.0f}"


def percent(error: float) -> str:
    """In per cent, to two figures, without the sign."""
    return f"{float(f'{100 * error:.2g}'):g}"


def off(regime: str, estimator: str, place: int = LAST) -> str:
    """The median error."""
    return f"{percent(value(regime, estimator, place))} %"


def spread(regime: str, estimator: str, place: int = LAST) -> str:
    """The median error and its range; where it is ten and more, as a multiple."""
    median, least, most = (value(regime, estimator, place, over) for over in (np.median, np.min, np.max))
    if median < 10:
        return f"{percent(median)} % ({percent(least)} to {percent(most)} %)"
    return "{:g}-fold ({:g} to {:g})".format(*(float(f"{error:.2g}") for error in (median, least, most)))


def sentences() -> Iterator[str]:
    """What the PAGE says, in its order."""
    first, softmax, rows, ten, hundred = "one-penalty", "softmax", "all-rows", "batches-10", "batches-100"
    m, h, n = (records()["large"][0].facts[name] for name in ("m", "h", "n"))
    differences = m / 4 + 2 * h * (LOSS + (m**2 / 3 + 2 * m) / (4 * n))  # XᵀX, then 2h losses, a solution each
    yield f"at {m} weights and {h} penalties, which would cost {differences / 1000:.0f} 000 gradients"
    by_differences = price(first, "central differences")
    yield f"It costs {price(first, 'exact')} gradients and central differences {by_differences}, with"
    digits = (-math.log10(value(first, "central differences", 0, over)) for over in (np.median, np.max, np.min))
    yield "with {:.0f} digits ({:.0f} to {:.0f})".format(*map(math.floor, digits))
    yield f"STN is off by {spread(first, 'STN')} and Δ-STN by {spread(first, 'Δ-STN')}."
    carried = value(first, CV + CARRIED, 0, np.max)
    yield (
        f"costs {price(first, CV + CARRIED, 0)} and is {off(first, CV + CARRIED, 0)} off, but on one seed of three "
        f"{percent(carried)} %"
    )
    cg, large = "conjugate gradient", records()["large"]
    yield f"({cheapest(large, cg, 0.1):.0f} for 1000 penalties, where an exact solve is {price('large', 'exact')})"
    h = records()["condition-1"][0].facts["h"]
    yield f"{1 + PRODUCT * h:.0f} gradients for {h} penalties, where reverse mode's takes {1 + PRODUCT:.0f}"
    condition = np.median([record.facts["condition"] for record in records()[softmax]])
    cheap = cheapest(records()[softmax], cg, 0.1)
    yield f"(here of condition {condition:.0f}): {cg} {cheap:.0f}, the exact solve {price(softmax, 'exact')}"
    learned = [value(softmax, name, LAST) for name in ("STN", "Centered STN", "Δ-STN")]
    yield f"at σ = 1 they keep errors of {percent(min(learned))} to {percent(max(learned))} % after 2000 gradients"

    yield f"after 250 gradients, Δ-STN is off by {spread(softmax, 'Δ-STN', MIDDLE)} at σ = 1,"
    yield f"by {spread(softmax, SMALL, MIDDLE)} at σ = 0.01 and {spread(softmax, CV, MIDDLE)} with the control variate;"
    yield f"after 2000 by {off(softmax, 'Δ-STN')}, {off(softmax, SMALL)} and {off(softmax, CV)};"
    yield f"on one penalty by {off(first, 'Δ-STN')}, {spread(first, SMALL)} and {spread(first, CV)}."
    with_it, without = CV + CARRIED, SMALL + CARRIED
    yield f"for {price(first, with_it)} to {price(softmax, without)} gradients"
    yield f"on softmax regression {spread(softmax, with_it)} with the control variate and"
    yield f"and {spread(softmax, without)} without, on one penalty"
    yield f"on one penalty {spread(first, with_it)} and {spread(first, without)}"
    yield f"on concrete with all rows {off(rows, with_it)} and {off(rows, without)}"

    solved = [error for name in ("Cholesky", cg) for error in curve(records()[ten], name, over_seeds=np.min)[1]]
    yield f"with 10 rows is off by {math.floor(100 * min(solved))} % and more on every seed"
    yield f"trained already, {spread(ten, 'Neumann', SHORT)} for {price(ten, 'Neumann', SHORT)} gradients"
    yield f"with all rows it is off by {spread(rows, 'Neumann', MIDDLE)} for {price(rows, 'Neumann', MIDDLE)}"
    cosines = [f"{value(regime, with_it, LAST, column='cosine'):.2f}" for regime in (ten, hundred)]
    yield f"an error of {spread(ten, with_it)} and a cosine of {cosines[0]}"
    yield f"for {price(hundred, with_it)} gradients in all, {spread(hundred, with_it)} and {cosines[1]}"
    networks = [name for name in estimators(large) if "STN" in name and not name.endswith(CARRIED)]
    least = min(value("large", name, LAST, np.min) for name in networks)
    yield f"at σ = 1 and at 0.01, with the control variate and without, are off by {math.floor(100 * least)} % and more"


def batches() -> Iterator[str]:
    """The lines of its small table."""
    names = {"Δ-STN, σ = 1": "Δ-STN", "Δ-STN, σ = 0.01": SMALL, "with the control variate, σ = 0.01": CV}
    for label, name in names.items():
        cells = (label, *(spread(regime, name) for regime in ("all-rows", "batches-100", "batches-10")))
        yield f"| {' | '.join(cells)} |"


def test_the_prose_is_what_the_records_give() -> None:
    prose = re.sub(r"\s+", " ", PAGE)
    assert [sentence for sentence in sentences() if sentence not in prose] == []


def test_the_table_of_batches_is_what_the_records_give() -> None:
    assert [line for line in batches() if line not in PAGE.splitlines()] == []
