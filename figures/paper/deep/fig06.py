"""Figure 6: AlexNet: (a) the best validation loss against wall time, (b), (c) Δ-STN's schedules, and (d) its Cutout.

A search's time runs on from trial to trial; its best is over all of them so far.
"""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from figures.drawing import curves, schedules, style
from figures.drawing.schedules import Panel
from figures.reading.trained import BAYESIAN, RANDOM, chosen, lacking, replicas, setting_of
from reference.console.records import Record

NEEDS = ("cifar-alexnet",)
METHODS = (RANDOM, BAYESIAN, "STN", "Δ-STN")
MAKE = (
    "python -m deep cifar-alexnet --method stn delta-stn, and with as many seconds as Δ-STN took: "
    "python -m deep cifar-alexnet --method random-search bayesian-optimisation --seconds T"
)
PANELS = (
    Panel(NEEDS[0], "rates", "(b) Δ-STN: drop rates"),
    Panel(NEEDS[0], "strengths", "(c) Δ-STN: augmentation"),
    Panel(NEEDS[0], "cutout", "(d) Δ-STN: Cutout"),
)


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are drawn."""
    return chosen(records, NEEDS[0], METHODS)


def draw(records: Sequence[Record]) -> Figure:
    """The picture; without records of Δ-STN, of its first panel alone."""
    runs = shown(records)
    tuned = replicas(runs, schedules.METHOD)
    with mpl.rc_context(style.RC):
        figure = style.new_figure(5.6 if tuned else 2.9)
        first, *others = figure.subplots(2, 2).flat if tuned else [figure.subplots()]
        curves.draw_best(first, runs, METHODS, "seconds")
        first.set(title="(a) against wall time", xlabel="seconds", ylabel="best validation loss so far")
        for axes, panel in zip(others, PANELS, strict=False):
            schedules.draw_panel(axes, tuned, panel)
        first.legend(handles=curves.handles(runs, METHODS), ncols=2, **schedules.PLACE)
        caption = f"Figure 6. AlexNet (H.2.3). {setting_of(runs)}{lacking(runs, METHODS)}. {machine(runs)}"
        return style.finish(figure, [], caption)


def machine(records: Sequence[Record]) -> str:
    """What the times were taken on."""
    places = sorted({record.facts["device"] for record in records})
    if len(places) == 1:
        return f"Times on {places[0]}, evaluations included."
    return f"Times are of different devices and do not compare: {', '.join(places)}."
