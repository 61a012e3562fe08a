"""Figure 8: as figure 7, but with the penalty not divided by the number of training rows.

λ* is figure 7's less log n; what differs is how strongly a step of λ acts on the weights.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from figures.drawing import trajectories
from toy.datasets import OFFLINE
from toy.records import Record

NEEDS = ("ridge-undivided",)
DATA = OFFLINE
COMPARISON = trajectories.Comparison(
    rows={"ridge-undivided": ("weight decay λ", "penalty exp(λ)")},
    methods=("STN", "Δ-STN"),
)
CAPTION = "Figure 8. Linear regression with weight decay, the penalty not divided by n."


def draw(records: Sequence[Record]) -> Figure:
    """The picture."""
    return trajectories.draw(COMPARISON, records, CAPTION)
