"""Figure 15: the best validation loss of STN and Δ-STN at fixed perturbation scales σ, on SimpleCNN and on AlexNet."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.drawing import curves, style
from figures.reading.trained import best, chosen, lacking, replicas, setting_of
from reference.console.records import Record

PANELS = {"sensitivity": "(a) SimpleCNN", "cifar-alexnet": "(b) AlexNet"}
NEEDS = tuple(PANELS)
METHODS = ("STN", "Δ-STN")
MAKE = "python -m deep sensitivity --method stn delta-stn --sigma 0.25 0.5 1 2"


def panels(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Experiment -> its records that differ in a fixed σ alone, where there are any."""
    fixed = [record for record in records if is_fixed(record)]
    runs_of = {name: chosen(fixed, name, METHODS, ("sigma", "sigma_end")) for name in PANELS}
    return {name: runs for name, runs in runs_of.items() if runs}


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are drawn."""
    return [record for runs in panels(records).values() for record in runs]


def is_fixed(record: Record) -> bool:
    """Whether σ ends where it starts; AlexNet's is learned where it is given no end."""
    changes = record.settings["changes"]
    end = changes.get("sigma_end")
    return record.settings["experiment"] == "sensitivity" if end is None else end == changes.get("sigma")


def draw(records: Sequence[Record]) -> Figure:
    """The picture: a panel for each network that has records."""
    runs_of = panels(records)
    with mpl.rc_context(style.RC):
        figure = style.new_figure(2.8)
        row = figure.subplots(1, len(runs_of), squeeze=False)[0]
        for axes, (name, runs) in zip(row, runs_of.items(), strict=True):
            draw_panel(axes, runs)
            axes.set_title(PANELS[name])
        row[0].set_ylabel("best validation loss")
        words = "; ".join(f"{setting_of(runs)}{lacking(runs, METHODS)}" for runs in runs_of.values())
        caption = f"Figure 15. σ fixed (I.2). Mean over the seeds; bars from the least to the most. {words}."
        return style.finish(figure, curves.handles(shown(records), METHODS), caption)


def draw_panel(axes: Axes, records: Sequence[Record]) -> None:
    """One network's losses against σ."""
    points = {name: by_scale(group) for name in METHODS if (group := replicas(records, name))}
    for name, group in points.items():
        curves.draw_points(axes, group, name, **style.LINES[name])
    scales = sorted({scale for group in points.values() for scale in group})
    axes.set(xlabel="perturbation scale σ, fixed", xscale="log")
    axes.set_xticks(scales, [f"{scale:g}" for scale in scales])
    axes.set_xticks([], minor=True)


def by_scale(records: Sequence[Record]) -> Mapping[float, list[float]]:
    """σ -> each seed's best validation loss; of two of one seed, the last."""
    losses = {(scale(run), run.settings["seed"]): best(run)[0] for run in records}
    return {
        sigma: [loss for key, loss in losses.items() if key[0] == sigma] for sigma in sorted({s for s, _ in losses})
    }


def scale(run: Record) -> float:
    """Of every hyperparameter at the start, free of rounding."""
    return round(float(run.history[f"sigma {run.facts['hyperparameters'][0]}"][0]), 4)
