"""Panels of figures 5, 6, 15, 16, b1 and b6: the best validation loss so far, and a last value against a setting.

A thin line for each seed, a thick one for their mean; where only last values are shown, their mean and range.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from figures.drawing import style
from figures.reading.trained import Curve, mean, method, replicas, so_far
from reference.console.records import Record

WIDTH = 1.4
"""Points: the thick lines'."""
EARLY = 0.2
"""The axis begins at the highest loss after this part of it: the first drop would hide all else."""


def draw_best(axes: Axes, records: Sequence[Record], methods: Sequence[str], x: str) -> None:
    """The best validation loss so far against a column of the history."""
    curves = {name: [so_far(record, x) for record in replicas(records, name)] for name in methods}
    # Searches and methods are compared at any time, where what counts is the best that was there by then.
    drawstyle = "default" if x == "epoch" else "steps-post"
    draw_groups(axes, {name: group for name, group in curves.items() if group}, style.LINES, drawstyle)


def draw_groups(
    axes: Axes,
    groups: Mapping[str, Sequence[Curve]],
    lines: Mapping[str, Mapping[str, Any]],
    drawstyle: str = "default",
) -> None:
    """Losses: a thin line for each curve of a group, a thick one for their mean."""
    drawn = {name: mean(group) for name, group in groups.items()}
    for name, group in groups.items():
        draw_seeds(axes, name, group, lines[name]["color"], drawstyle)
        axes.plot(*drawn[name], drawstyle=drawstyle, gid=f"{name}: mean", linewidth=WIDTH, **lines[name])
    _zoom(axes, list(drawn.values()), min(y[-1] for group in groups.values() for _, y in group))
    loss_axis(axes)


def draw_seeds(axes: Axes, name: str, curves: Sequence[Curve], color: str, drawstyle: str = "default") -> None:
    """A thin line for each."""
    for curve in curves:
        axes.plot(*curve, drawstyle=drawstyle, gid=f"{name}: seed", linewidth=0.5, alpha=0.45, color=color)


def _zoom(axes: Axes, curves: Sequence[Curve], low: float) -> None:
    last = max(x[-1] for x, _ in curves)
    high = max(y[max(0, int(np.searchsorted(x, EARLY * last, side="right")) - 1)] for x, y in curves)
    margin = (high / low) ** 0.06 if high > low else 1.02
    axes.set(xlim=(0, last or 1), ylim=(low / margin, high * margin))


def draw_points(axes: Axes, points: Mapping[float, Sequence[float]], gid: str, **line: Any) -> None:
    """Means joined by a line, ranges as bars, at places on the axis."""
    places = sorted(points)
    means = np.array([np.mean(points[place]) for place in places])
    least, most = (np.array([end(points[place]) for place in places]) for end in (min, max))
    look: dict[str, Any] = {"marker": "o", **line}
    axes.plot(places, means, gid=gid, linewidth=WIDTH, markersize=4, **look)
    axes.vlines(places, least, most, color=line["color"], linewidth=WIDTH, alpha=0.5)


def loss_axis(axes: Axes) -> None:
    """A logarithmic axis with plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    if len([tick for tick in axes.get_yticks() if np.prod(np.subtract(tick, axes.get_ylim())) <= 0]) < 3:
        axes.set_yscale("linear")
        return
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def handles(records: Sequence[Record], methods: Sequence[str]) -> list[Line2D]:
    """What the legend shows: the methods that have records."""
    there = set(map(method, records))
    return [Line2D([], [], label=name, linewidth=WIDTH, **style.LINES[name]) for name in methods if name in there]
