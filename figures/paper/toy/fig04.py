"""Figure 4: a linear network of five hidden layers with a Jacobian-norm penalty (H.4): centring, then linearising.

Six factors make the outputs nonlinear in the weights, so that here the three methods are three. Above, accuracy: five
splits, ‖∂y/∂X‖² of one row. Below, stability: 40 splits, ‖∂y/∂X‖² of all n rows, which is H.4 to the letter.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from figures.drawing import trajectories
from figures.reading import splits
from reference.console.records import Record
from toy.data.datasets import OFFLINE
from toy.paper.experiments import EXPERIMENTS

NEEDS = ("linear-network", *splits.NEEDS)
DATA = OFFLINE
COMPARISON = trajectories.Comparison(
    "Figure 4. Linear network of five hidden layers with Jacobian-norm penalty (H.4).",
    rows={"linear-network": ("Jacobian penalty λ", "penalty exp(λ)")},
    methods=("STN", "Centered STN", "Δ-STN"),
)
STABILITY = (
    "At the bottom, with the penalty to the letter (‖∂y/∂X‖² of all n rows, not of one): the share of {count} splits "
    "on which a run diverges, against α₁."
)


def draw(records: Sequence[Record]) -> Figure:
    """The picture; without records of many splits it is the upper part alone."""
    accuracy = [record for record in records if record.settings["experiment"] in EXPERIMENTS]
    stability = splits.of_problem(records, "linear-network-undivided")
    if not stability:
        return trajectories.draw(COMPARISON, accuracy)
    words = STABILITY.format(count=stability[0].settings["seeds"])
    comparison = replace(COMPARISON, caption=f"{COMPARISON.caption} {words}")
    return trajectories.draw(comparison, accuracy, partial(draw_stability, stability))


def draw_stability(records: Sequence[Record], figure: SubFigure) -> None:
    """A panel for each data set: per cent of the runs that diverge, a line for each method."""
    row = figure.subplots(1, len(records), sharey=True, squeeze=False)[0]
    for axes, record in zip(row, records, strict=True):
        steps = splits.steps(record)
        for method, line in COMPARISON.lines.items():
            share = [100 * np.mean(splits.diverged(record, method, alpha1)) for alpha1 in steps]
            axes.plot(steps, share, marker="o", markersize=3, gid=f"{method}: diverged", clip_on=False, **line)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 10]))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set(xlabel="α₁", xlim=(0, None), ylim=(0, 100), title=f"{splits.data(record)}, to the letter")
    row[0].set_ylabel("diverged (%)")
