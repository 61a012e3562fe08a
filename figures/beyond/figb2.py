"""Figure b2, beyond the paper: figures 3 and 7 with the control variate, at σ = 1 and at σ = 0.3.

From H.1's own starts; with the control variate Θ's step is divided by σ², which at σ = 1 changes nothing.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from figures.drawing import trajectories
from figures.reading.variants import CV, CV_SMALL, VARIANTS
from toy.datasets import OFFLINE
from toy.records import Record

NEEDS = ("ridge", "dropout")
DATA = OFFLINE
COMPARISON = trajectories.Comparison(
    rows={"ridge": ("weight decay λ", "penalty exp(λ)"), "dropout": ("dropout λ = logit p", "drop rate p")},
    methods=("STN", "Δ-STN", CV, CV_SMALL),
)
RUNS = tuple(VARIANTS[name] for name in COMPARISON.methods)
CAPTION = (
    "Figure b2. As figures 3 and 7, with the control variate (CV). Above: weight decay; below: input dropout. "
    "Where σ is not given it is 1; with CV Θ's step is divided by σ²."
)


def draw(records: Sequence[Record]) -> Figure:
    """The picture."""
    return trajectories.draw(COMPARISON, records, CAPTION)
