"""Figures 6, 10, 11, 12, 13: hyperparameter schedules: what Δ-STN has tuned each hyperparameter to, against epochs.

    panel      hyperparameters                                        axis
    rates      drop rates                                             left
    strengths  of augmentation or of penalties; rotation and shear    left; degrees on the right, dashed
    cutout     holes; length                                          left; pixels on the right, dashed

A thin line for each seed, a thick one for their mean. Each panel has a legend of its own, below it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from figures.drawing import style
from figures.reading.trained import chosen, mean, setting_of
from reference.console.records import Record

METHOD = "Δ-STN"
CUTOUT = ("cutout_holes", "cutout_length")
RIGHT = {"rotation": "degrees", "shear": "degrees", "cutout_length": "pixels"}
PENALTIES = ("ar", "tar")
KINDS = {"rates": "drop rate", "strengths": "strength", "cutout": "holes"}
LOOK: dict[str, Any] = {"fontsize": 6, "handlelength": 2.2, "columnspacing": 0.9, "labelspacing": 0.25}
PLACE: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.22), **LOOK}
"""Of a panel's legend."""


@dataclass(frozen=True)
class Panel:
    """What is drawn: an experiment's hyperparameters of one kind."""

    experiment: str
    kind: str
    title: str


@dataclass(frozen=True)
class Schedules:
    """A figure of such panels.

    Args:
        caption: its first sentence; the settings follow.
        make: the command that makes its records.
    """

    caption: str
    make: str
    panels: Sequence[Panel]

    @property
    def needs(self) -> tuple[str, ...]:
        """The experiments."""
        return tuple(dict.fromkeys(panel.experiment for panel in self.panels))

    def shown(self, records: Sequence[Record]) -> list[Record]:
        """The records of all panels."""
        return [record for experiment in self.needs for record in chosen(records, experiment, (METHOD,))]

    def draw(self, records: Sequence[Record]) -> Figure:
        """The panels side by side; those without records are left out."""
        every = {panel: chosen(records, panel.experiment, (METHOD,)) for panel in self.panels}
        runs = {panel: replicas for panel, replicas in every.items() if replicas}
        settings = dict.fromkeys(setting_of(replicas) for replicas in runs.values())
        with mpl.rc_context(style.RC):
            figure = style.new_figure(3.2)
            row = figure.subplots(1, len(runs), squeeze=False)[0]
            for axes, (panel, replicas) in zip(row, runs.items(), strict=True):
                draw_panel(axes, replicas, panel)
            words = f"As {METHOD} tuned them; thin: seeds, thick: their mean. {'; '.join(settings)}."
            return style.finish(figure, [], f"{self.caption} {words}")


def draw_panel(axes: Axes, records: Sequence[Record], panel: Panel) -> None:
    """One panel with its legend."""
    names = of_kind(records[0].facts["hyperparameters"], panel.kind)
    right = axes.twinx() if any(name in RIGHT for name in names) else axes
    for i, name in enumerate(names):
        _draw_one(right if name in RIGHT else axes, records, name, _look(i, len(names), panel.kind, name in RIGHT))
    for side in {axes, right}:
        side.set_ylim(bottom=0)
    axes.set(title=panel.title, xlabel="epoch", ylabel=KINDS[panel.kind])
    axes.set_xlim(0, max(record.history["epoch"][-1] for record in records))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    right.set_ylabel(axes.get_ylabel() if right is axes else next(RIGHT[name] for name in names if name in RIGHT))
    handles = [line for line in (*axes.lines, *(right.lines if right is not axes else ())) if _is_mean(line)]
    axes.legend(handles=handles, ncols=3 if panel.kind == "rates" and len(names) > 4 else 2, **PLACE)


def _draw_one(axes: Axes, records: Sequence[Record], name: str, look: dict[str, Any]) -> None:
    curves = [(record.history["epoch"], record.history[name]) for record in records]
    for curve in curves:
        axes.plot(*curve, color=look["color"], linewidth=0.4, alpha=0.4, gid=f"{name}: seed")
    axes.plot(*mean(curves), gid=f"{name}: mean", label=label(name), linewidth=1.2, **look)


def of_kind(names: Sequence[str], kind: str) -> list[str]:
    """Which of a run's hyperparameters a panel shows."""
    rates = [name for name in names if "drop" in name]
    return {
        "rates": rates,
        "cutout": [name for name in names if name in CUTOUT],
        "strengths": [name for name in names if name not in rates and name not in CUTOUT],
    }[kind]


def label(name: str) -> str:
    """`drop_conv1` is conv1, `drop_1` is layer 1, `input_dropout` is input, `rotation` is rotation (right)."""
    short = name.removeprefix("drop_").removesuffix("_dropout").removeprefix("cutout_")
    short = f"layer {short}" if short.isdigit() else short.upper() if short in PENALTIES else short
    return f"{short} (right)" if name in RIGHT else short


def _look(i: int, count: int, kind: str, right: bool) -> dict[str, Any]:
    """Rates by their depth, from dark to light; the others in colours told apart by name."""
    if kind == "rates":
        return {"color": mpl.colormaps["viridis"](0.92 * i / max(count - 1, 1)), "linestyle": ("-", "--", ":")[i % 3]}
    return {"color": style.HUES[i % len(style.HUES)], "linestyle": "--" if right else "-"}


def _is_mean(line: Any) -> bool:
    return str(line.get_gid()).endswith(": mean")
