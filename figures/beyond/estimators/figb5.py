"""Figure b5, beyond the paper: regret of what a user would pick instead, against time and gradient-equivalents."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.beyond.estimators import alternatives
from figures.beyond.estimators.alternatives import LBFGS, MAKE, NEEDS, TITLES, Trace, shown, traces
from figures.drawing import style
from reference.console.records import Record

__all__ = ["MAKE", "NEEDS", "draw", "shown"]

GRID: dict[str, Any] = {"color": "#009E73", "linestyle": (0, (1.2, 0.8)), "marker": "s", "markersize": 3}
LINES: dict[str, dict[str, Any]] = {
    "RidgeCV": GRID,
    "GridSearchCV": GRID,
    "Optuna, TPE": {"color": "#E69F00", "linestyle": (0, (5, 1, 1.2, 1))},
    "Optuna, GP": {"color": "#CC79A7", "linestyle": (0, (4, 1, 1, 1))},
    LBFGS: {"color": "black", "linestyle": "-"},
    "STN": style.LINES["STN"],
    "Δ-STN": style.LINES["Δ-STN"],
    "Δ-STN with control variate": {"color": "#56B4E9", "linestyle": (0, (3, 1))},
}
AXES = {"seconds": "seconds of one core", "price": "gradient-equivalents"}
FLOOR = 1e-3
"""Per cent: what is below counts as nothing, and is drawn here."""


def draw(records: Sequence[Record]) -> Figure:
    """The picture: a column for each problem."""
    runs = shown(records)
    with mpl.rc_context(style.RC):
        figure = style.new_figure(4.1)
        panels = figure.subplots(len(AXES), len(runs), squeeze=False, sharey="col")
        for column, record in enumerate(runs):
            for axes, axis in zip(panels[:, column], AXES, strict=True):
                draw_regret(axes, traces(record), axis)
                axes.set_xlabel(AXES[axis])
            panels[0, column].set_title(TITLES[record.settings["name"]].replace(" (", "\n("), fontsize=7.5)
        for axes in panels[:, 0]:
            axes.set_ylabel("regret, %")
        style.legend(figure, handles(runs), 4)
        return style.finish(figure, (), caption(runs))


def draw_regret(axes: Axes, traces_of: dict[str, list[Trace]] | Any, axis: str) -> None:
    """A step for each alternative, its median over the splits; searches of scikit-learn's are points."""
    for name, repeats in traces_of.items():
        x, regret = (alternatives.by_size if LINES[name] is GRID else alternatives.median)(repeats, axis)
        y = np.where(np.isfinite(regret), np.maximum(100 * regret, FLOOR), np.nan)
        drawstyle = "default" if LINES[name] is GRID else "steps-post"
        axes.plot(x, y, gid=name, linewidth=1.1, drawstyle=drawstyle, **LINES[name])
    axes.set(xscale="log", yscale="log", ylim=(FLOOR / 1.5, 1500))
    axes.grid(axis="y")


def handles(records: Sequence[Record]) -> list[Line2D]:
    """What the legend shows: scikit-learn's two searches look the same, and are never in one panel."""
    there = dict.fromkeys(name for record in records for name in traces(record))
    grids = [name for name in there if LINES[name] is GRID]
    lines = [Line2D([], [], linewidth=1.1, label=name, **LINES[name]) for name in LINES if name in there]
    lines = [line for line in lines if line.get_label() not in grids]
    return [*([Line2D([], [], linewidth=1.1, label=", ".join(grids), **GRID)] if grids else []), *lines]


def caption(records: Sequence[Record]) -> str:
    """What the picture says below itself."""
    splits = sorted({record.settings["seeds"] for record in records})
    return (
        f"Figure b5. Median over {' or '.join(map(str, splits))} splits of L_V(r(λ))/L_V(r(λ*)) - 1 at the λ that a "
        "user would take then: the best so far of a search or of L-BFGS, the current one of STN and its kin. Squares: "
        f"grids of growing size, a search each, one penalty for all. {FLOOR:g} % stands for all that is less; a line "
        "ends with the longest of its runs, or where half of them have diverged. λ*: exact for ridge; with more "
        "hyperparameters the best that anything here, or descents from three random starts, has found."
    )
