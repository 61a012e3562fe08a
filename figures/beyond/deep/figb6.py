"""Figure b6, beyond the paper: deep runs with the control variate: best validation loss against price, and the rates.

Above, the lowest validation loss so far, against plain SGD steps' worth of work; below, the lowest of the drop rates,
which tells a run that falls into the trap of deep/paper/RESULTS.md from one that does not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.beyond.deep.deep_variants import by_setting, price, rates
from figures.drawing import curves, style
from figures.paper.deep.fig05 import TITLES
from figures.reading.trained import setting_of, so_far
from reference.console.records import Record

NEEDS = ("mnist-mlp", "fmnist-cnn")
CHANGED = "σ from 2, learned; Θ × 10; no warm-up"
LINES: Mapping[str, Mapping[str, Any]] = {
    "STN": style.LINES["STN"],
    "Δ-STN": style.LINES["Δ-STN"],
    f"Δ-STN; {CHANGED}": {"color": "#E69F00", "linestyle": (0, (5, 1, 1.2, 1))},
    f"Δ-STN CV; {CHANGED}": style.LINES["Δ-STN CV"],
}
MAKE = (
    "python -m deep EXPERIMENT --method stn delta-stn --seed 0 1 2, and "
    "--method delta-stn delta-stn-cv --seed 0 1 2 --sigma 2 --theta-rate 10 --warm-up 0"
)


def panels(records: Sequence[Record]) -> dict[str, dict[str, list[Record]]]:
    """Experiment -> label -> runs, of the setting that has most of the labels."""
    panel_of: dict[str, dict[str, list[Record]]] = {}
    for setting, labels in by_setting(records, NEEDS).items():
        there = {name: labels[name] for name in LINES if name in labels}
        if len(there) > len(panel_of.get(setting.experiment, ())):
            panel_of[setting.experiment] = there
    return panel_of


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are drawn."""
    return [run for labels in panels(records).values() for runs in labels.values() for run in runs]


def draw(records: Sequence[Record]) -> Figure:
    """The picture: a column for each experiment."""
    shown_panels = panels(records)
    with mpl.rc_context(style.RC):
        figure = style.new_figure(4.6)
        axes = figure.subplots(2, len(shown_panels), squeeze=False)
        for column, (experiment, labels) in enumerate(shown_panels.items()):
            draw_best(axes[0, column], labels)
            draw_rates(axes[1, column], labels)
            axes[0, column].set(title=TITLES[experiment], xlabel="work in plain SGD steps")
            axes[1, column].set_xlabel("epoch")
        axes[0, 0].set_ylabel("best validation loss so far")
        axes[1, 0].set_ylabel("lowest drop rate")
        there = [name for name in LINES if any(name in labels for labels in shown_panels.values())]
        handles = [Line2D([], [], linewidth=curves.WIDTH, label=name, **LINES[name]) for name in there]
        style.legend(figure, handles, 2)
        words = "; ".join(
            setting_of([run for runs in labels.values() for run in runs]) for labels in shown_panels.values()
        )
        words += "".join(f"; no runs of “{name}” on {TITLES[run]}" for run, name in lacking(shown_panels, there))
        caption = (
            f"Figure b6. CV: with the control variate. Thin: seeds; thick: their mean (above), median (below). {words}."
        )
        return style.finish(figure, [], caption)


def lacking(panel_of: Mapping[str, Mapping[str, Sequence[Record]]], names: Sequence[str]) -> list[tuple[str, str]]:
    """Experiments and the lines of the legend that their panels lack."""
    return [(experiment, name) for experiment, labels in panel_of.items() for name in names if name not in labels]


def draw_best(axes: Axes, labels: Mapping[str, Sequence[Record]]) -> None:
    """The lowest validation loss so far, against the price."""
    groups = {name: [(price(run), so_far(run, "epoch")[1]) for run in runs] for name, runs in labels.items()}
    curves.draw_groups(axes, groups, LINES)


def draw_rates(axes: Axes, labels: Mapping[str, Sequence[Record]]) -> None:
    """The lowest of the drop rates, against epochs."""
    for name, runs in labels.items():
        lines = [(run.history["epoch"], rates(run).min(axis=1)) for run in runs]
        curves.draw_seeds(axes, name, lines, LINES[name]["color"])
        middle = np.median([low for _, low in lines], axis=0)
        axes.plot(lines[0][0], middle, gid=f"{name}: median", linewidth=curves.WIDTH, **LINES[name])
    axes.set(yscale="log", xlim=(0, max(run.history["epoch"][-1] for runs in labels.values() for run in runs)))
