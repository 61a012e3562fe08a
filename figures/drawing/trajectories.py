"""Figures 3, 4, 7, 8, 9: methods compared on real data, a column for each data set, λ above its regret.

name         meaning
Comparison   what a figure compares and how it draws each method
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from figures.drawing import style
from figures.drawing.panels import FLOOR, add_value_axis, draw_lam, draw_regret, remarks
from figures.reading.selection import count_seeds, panels
from reference.console.records import Record
from toy.paper.experiments import EXPERIMENTS, REGIME

COLUMNS = 3
"""Data sets side by side before a new line begins."""
LONGEST = 24
"""Letters of a data set's name."""
BELOW = 1.6
"""Inches: the height of the line below all data sets."""
WIDTH = 1.4
"""Points: the thick lines'."""


@dataclass(frozen=True)
class Comparison:
    """What a figure compares.

    Args:
        caption: its first sentences; the settings follow.
        rows: experiment -> what its axes say on the left, for λ, and on the right, for s(λ).
        methods: from the lowest to the topmost in the drawing.
        first: show this many first updates on their own too, unless 0.
        looks: method -> changes to its line.
        names: method -> its name in the legend, where the figure gives it another.
    """

    caption: str
    rows: Mapping[str, tuple[str, str]]
    methods: Sequence[str]
    first: int = 0
    looks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs(self) -> tuple[str, ...]:
        """The experiments."""
        return tuple(self.rows)

    def draw(self, records: Sequence[Record]) -> Figure:
        """The picture."""
        return draw(self, records)

    @property
    def lines(self) -> dict[str, dict[str, Any]]:
        """Method -> how its mean or median is drawn."""
        return {name: {"linewidth": WIDTH, **style.LINES[name], **self.looks.get(name, {})} for name in self.methods}

    @property
    def heights(self) -> list[float]:
        """Of one data set's panels, in inches: its first updates, all updates, the regret."""
        return [1.2, 1.5, 0.9] if self.first else [1.6, 0.9]


def draw(
    comparison: Comparison,
    records: Sequence[Record],
    below: Callable[[SubFigure], None] | None = None,
) -> Figure:
    """All experiments of the comparison, their data sets in lines of at most COLUMNS; `below` draws one line more."""
    lines = [
        (experiment, line)
        for experiment in comparison.rows
        for line in wrapped(list(panels(records, experiment, comparison.methods).items()))
    ]
    heights, depth = comparison.heights * len(lines), len(comparison.heights)
    heights += [] if below is None else [BELOW]
    with mpl.rc_context(style.RC):
        figure = style.new_figure(sum(heights) + 0.5 * len(lines) + 0.8)
        grid = figure.add_gridspec(len(heights), max(len(line) for _, line in lines), height_ratios=heights)
        for i, (experiment, line) in enumerate(lines):
            for j, (title, replicas) in enumerate(line):
                column = [figure.add_subplot(grid[i * depth + k, j]) for k in range(depth)]
                column[0].set_title(heading(title, replicas), parse_math=False)
                draw_data_set(column, comparison, experiment, replicas, j == 0, j == len(line) - 1)
        if below is not None:
            below(figure.add_subfigure(grid[-1, :]))
        return style.finish(figure, handles(comparison), f"{comparison.caption} {choices(comparison, records)}")


def draw_data_set(
    column: list[Axes], comparison: Comparison, experiment: str, records: Sequence[Record], left: bool, right: bool
) -> None:
    """One data set's panels, one under another."""
    *upper, lowest = column
    for axes, last in zip(reversed(upper), (np.inf, comparison.first), strict=False):
        draw_lam(axes, records, comparison.lines, last)
        axes.set_ylabel(comparison.rows[experiment][0] if left else "")
        add_value_axis(axes, EXPERIMENTS[experiment].s, comparison.rows[experiment][1] if right else "")
    draw_regret(lowest, records, comparison.lines)
    upper[-1].tick_params(labelbottom=False)
    upper[-1].set_xlabel(remarks(records), fontsize=6.5, color="0.25")
    lowest.set_ylabel("regret (%)" if left else "")
    lowest.set_xlabel("outer update")


def heading(title: str, records: Sequence[Record]) -> str:
    """The data set's name, cut where it is long, and its size."""
    name = title if len(title) <= LONGEST else title[: LONGEST - 1] + "…"
    return f"{name} ({records[0].settings['data']['rows']} rows)".encode(errors="replace").decode()


def wrapped(items: list[Any]) -> list[list[Any]]:
    """Lines as equal in length as can be, of at most COLUMNS items."""
    count = math.ceil(len(items) / COLUMNS)
    length = math.ceil(len(items) / max(count, 1))
    return [items[k * length : (k + 1) * length] for k in range(count)]


def handles(comparison: Comparison) -> list[Line2D]:
    """What the legend shows: the methods and the exact optimum."""
    methods = [
        Line2D([], [], label=comparison.names.get(name, name), **line) for name, line in comparison.lines.items()
    ]
    return [*methods, Line2D([], [], linewidth=0.8, label="exact λ* of each split", **style.EXACT)]


def choices(comparison: Comparison, records: Sequence[Record]) -> str:
    """The settings that the caption states, as the experiments have them."""
    now = [EXPERIMENTS[experiment] for experiment in comparison.rows]
    schedule = now[0].schedule
    rates = " and ".join(dict.fromkeys(f"{experiment.schedule.alpha1:g}" for experiment in now))
    return (
        f"Thin: {count_seeds(records)}, each a split of its own with a λ* of its own; thick: their mean. Below, the "
        f"fairer judge, the regret L_V(r(λ))/L_V(r(λ*)) − 1: median and range, cut off at {FLOOR:g} %. "
        f"σ = {now[0].sigma:g}, T_train = {schedule.T_train}, T_valid = {schedule.T_valid}, {schedule.warm_up} warm-up "
        f"iterations, batches of 10 rows (fewer than {REGIME} in all) or 100, α₁ = {rates}, RMSProp at "
        f"{schedule.alpha2:g} for λ."
    )
