"""Figure b4, beyond the paper: every estimator's error against its price, one panel for each regime."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.beyond.estimators import laboratory
from figures.beyond.estimators.laboratory import MAKE, NEEDS, by_regime, curve, shown
from figures.drawing import style
from reference.console.records import Record

__all__ = ["MAKE", "NEEDS", "draw", "shown"]

FLOOR, CEILING = 1e-9, 1e3
"""Errors beyond are drawn at these."""
SMALL_SIGMA, CV = "Δ-STN, normalised", "Δ-STN with control variate, normalised"
LOOKS: dict[str, dict[str, Any]] = {
    "exact": {"color": "black", "marker": "*", "markersize": 8},
    "central differences": {"color": "black", "marker": "D"},
    "evolution strategies": {"color": "#DDCC77", "marker": "v"},
    "Cholesky": {"color": "#882255", "marker": "s"},
    "conjugate gradient": {"color": "#882255", "marker": "o"},
    "Neumann": {"color": "#CC6677", "marker": "o"},
    "T1-T2": {"color": "#CC6677", "marker": "X"},
    "forward unrolling": {"color": "#44AA99", "marker": "^", "linestyle": ":"},
    "truncated forward unrolling": {"color": "#44AA99", "marker": "^", "linestyle": "-.", "markerfacecolor": "white"},
    "unrolling": {"color": "#117733", "marker": "^"},
    "truncated unrolling": {"color": "#117733", "marker": "^", "linestyle": "--", "markerfacecolor": "white"},
    "STN": style.LINES["STN"] | {"marker": "."},
    "Centered STN": style.LINES["Centered STN"] | {"marker": "."},
    "Δ-STN": style.LINES["Δ-STN"] | {"marker": "."},
    SMALL_SIGMA: {"color": "#88CCEE", "marker": "X"},
    f"{SMALL_SIGMA}, carried over": {"color": "#88CCEE", "marker": "X", "linestyle": "--", "markerfacecolor": "white"},
    CV: {"color": "#332288", "marker": "P"},
    f"{CV}, carried over": {"color": "#332288", "marker": "P", "linestyle": "--", "markerfacecolor": "white"},
}


def draw(records: Sequence[Record]) -> Figure:
    """The picture, both axes logarithmic."""
    chosen = shown(records)
    groups = by_regime(chosen)
    rows = -(-len(groups) // 3)
    with mpl.rc_context(style.RC):
        figure = style.new_figure(2.1 * rows + 1.6)
        grid = figure.subplots(rows, min(3, len(groups)), sharey=True, squeeze=False)
        for axes, records_here in zip(grid.flat, groups.values(), strict=False):
            draw_panel(axes, records_here)
        for axes in grid.flat[len(groups) :]:
            axes.set_axis_off()
        for axes in grid[:, 0]:
            axes.set_ylabel("relative error")
        for axes in grid.flat[max(0, len(groups) - 3) : len(groups)]:
            axes.set_xlabel("price, gradient-equivalents")
        handles = [Line2D([], [], label=name.replace("with control variate", "CV"), **look(name)) for name in LOOKS]
        style.legend(figure, handles, 4, handlelength=2.4, fontsize=6.5)
        return style.finish(figure, [], caption(chosen))


def draw_panel(axes: Axes, records: Sequence[Record]) -> None:
    """One regime: a line for each estimator, a mark for those that no budget changes."""
    for name in laboratory.estimators(records):
        price, error = curve(records, name)
        axes.plot(price, np.clip(error, FLOOR, CEILING), gid=name, clip_on=False, **look(name))
    axes.set(xscale="log", yscale="log", ylim=(FLOOR, CEILING))
    axes.set_title(records[0].settings["title"])
    axes.grid(True)


def look(name: str) -> dict[str, Any]:
    """An estimator's line and marks."""
    return {"linewidth": 0.9, "markersize": 3.5, "markeredgewidth": 0.7, **LOOKS[name]}


def caption(records: Sequence[Record]) -> str:
    """What the panels do not say."""
    asked, counts = records[0].settings, {laboratory.seeds(group) for group in by_regime(records).values()}
    seeds = " to ".join(map(str, sorted({min(counts), max(counts)})))
    return (
        "Figure b4. Error of the hypergradient against its price in gradients of the whole training loss, at weights "
        f"that are trained. CV: with the control variate. Normalised: σ = {asked['sigma_normalised']:g} and Θ's step "
        f"divided by σ²; the others at σ = {asked['sigma']:g}. Carried over: Θ and the weights kept over many updates "
        f"of λ, the price of one of them. Errors below {FLOOR:g} and above {CEILING:g} are drawn there. "
        f"Medians, {seeds} seed{'s' * (max(counts) > 1)}."
    )
