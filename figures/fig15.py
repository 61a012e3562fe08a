"""Figure 15: the best validation loss of STN and Δ-STN at fixed perturbation scales σ, SimpleCNN."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from figures import curves, style
from figures.trained import best, chosen, lacking, replicas, setting_of
from toy.records import Record

NEEDS = ("sensitivity",)
METHODS = ("STN", "Δ-STN")
MAKE = "python -m deep sensitivity --method stn delta-stn --sigma 0.25 0.5 1 2"


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are drawn: those that differ in σ alone."""
    return chosen(records, NEEDS[0], METHODS, ("sigma",))


def draw(records: Sequence[Record]) -> Figure:
    """The picture."""
    runs = shown(records)
    points = {name: by_scale(some) for name in METHODS if (some := replicas(runs, name))}
    scales = sorted({scale for some in points.values() for scale in some})
    with mpl.rc_context(style.RC):
        figure = style.new_figure(2.8)
        axes = figure.subplots()
        for name, some in points.items():
            curves.draw_points(axes, some, name, **style.LINES[name])
        axes.set(xlabel="perturbation scale σ, fixed", ylabel="best validation loss", xscale="log")
        axes.set_xticks(scales, [f"{scale:g}" for scale in scales])
        axes.set_xticks([], minor=True)
        said = f"{setting_of(runs)}{lacking(runs, METHODS)}"
        caption = f"Figure 15. SimpleCNN (I.2). Mean over the seeds; bars from the least to the most. {said}."
        return style.finish(figure, curves.handles(runs, METHODS), caption)


def by_scale(records: Sequence[Record]) -> Mapping[float, list[float]]:
    """σ -> each seed's best validation loss; of two of one seed, the last."""
    found = {(scale(run), run.settings["seed"]): best(run)[0] for run in records}
    return {one: [loss for key, loss in found.items() if key[0] == one] for one in sorted({s for s, _ in found})}


def scale(run: Record) -> float:
    """Of every hyperparameter at the start, free of rounding."""
    return round(float(run.history[f"sigma {run.facts['hyperparameters'][0]}"][0]), 4)
