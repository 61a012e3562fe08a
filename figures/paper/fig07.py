"""Figure 7: linear regression with weight decay, STN against Δ-STN, on every data set that has records.

With the three data sets that need no network these are the upper panels of figure 3.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from figures.drawing import trajectories
from toy.datasets import OFFLINE
from toy.records import Record

NEEDS = ("ridge",)
DATA = OFFLINE
COMPARISON = trajectories.Comparison(
    rows={"ridge": ("weight decay λ", "penalty exp(λ)")},
    methods=("STN", "Δ-STN"),
)
CAPTION = "Figure 7. Linear regression with weight decay (H.1)."


def draw(records: Sequence[Record]) -> Figure:
    """The picture."""
    return trajectories.draw(COMPARISON, records, CAPTION)
