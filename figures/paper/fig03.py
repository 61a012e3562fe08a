"""Figure 3: linear regression: STN against Δ-STN, tuning weight decay (top) and the input drop rate (bottom).

λ should go to the dashed line of its own split; where there is none, as far down as it can: no penalty is best there.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from figures.drawing import trajectories
from toy.datasets import OFFLINE
from toy.records import Record

NEEDS = (
    "ridge",
    "dropout",
)
DATA = OFFLINE
COMPARISON = trajectories.Comparison(
    rows={"ridge": ("weight decay λ", "penalty exp(λ)"), "dropout": ("dropout λ = logit p", "drop rate p")},
    methods=("STN", "Δ-STN"),
)
CAPTION = "Figure 3. Linear regression: weight decay (H.1, above) and input dropout (H.2, below)."


def draw(records: Sequence[Record]) -> Figure:
    """The picture."""
    return trajectories.draw(COMPARISON, records, CAPTION)
