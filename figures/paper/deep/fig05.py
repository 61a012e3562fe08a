"""Figure 5: the best validation loss so far against epochs, on MNIST (left) and FashionMNIST (right)."""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from figures.drawing import curves, style
from figures.reading.trained import chosen, lacking, setting_of
from reference.console.records import Record

NEEDS = ("mnist-mlp", "fmnist-cnn")
METHODS = ("STN", "Centered STN", "Δ-STN")
MAKE = " and ".join(f"python -m deep {name} --method stn centered-stn delta-stn --seed 0 1 2" for name in NEEDS)
TITLES = {"mnist-mlp": "MNIST, MLP", "fmnist-cnn": "FashionMNIST, SimpleCNN"}


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are drawn."""
    return [record for experiment in NEEDS for record in chosen(records, experiment, METHODS)]


def draw(records: Sequence[Record]) -> Figure:
    """The picture; a data set without records has no panel."""
    runs = {experiment: group for experiment in NEEDS if (group := chosen(records, experiment, METHODS))}
    with mpl.rc_context(style.RC):
        figure = style.new_figure(2.9)
        row = figure.subplots(1, len(runs), squeeze=False)[0]
        for axes, (experiment, group) in zip(row, runs.items(), strict=True):
            curves.draw_best(axes, group, METHODS, "epoch")
            axes.set(title=TITLES[experiment], xlabel="epoch")
        row[0].set_ylabel("best validation loss so far")
        settings = "; ".join(setting_of(group) + lacking(group, METHODS) for group in runs.values())
        caption = f"Figure 5. Thin: seeds, each a split and a start of its own; thick: their mean. {settings}."
        return style.finish(figure, curves.handles(shown(records), METHODS), caption)
