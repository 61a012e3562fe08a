"""Figure b2b, beyond the paper: figures 8 and 4 with the control variate, at σ = 1 and at σ = 0.3.

From H.1's own starts; with the control variate Θ's step is divided by σ², which at σ = 1 changes nothing.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from figures.drawing import trajectories
from figures.reading.variants import CV, CV_SMALL, VARIANTS
from toy.datasets import OFFLINE
from toy.records import Record

NEEDS = ("ridge-undivided", "linear-network")
DATA = OFFLINE
COMPARISON = trajectories.Comparison(
    rows={
        "ridge-undivided": ("weight decay λ", "penalty exp(λ)"),
        "linear-network": ("Jacobian penalty λ", "penalty exp(λ)"),
    },
    methods=("STN", "Δ-STN", CV, CV_SMALL),
)
RUNS = tuple(VARIANTS[name] for name in COMPARISON.methods)
CAPTION = (
    "Figure b2b. As figures 8 and 4, with the control variate (CV). Above: undivided penalty; below: linear network. "
    "Where σ is not given it is 1; with CV Θ's step is divided by σ²."
)


def draw(records: Sequence[Record]) -> Figure:
    """The picture."""
    return trajectories.draw(COMPARISON, records, CAPTION)
