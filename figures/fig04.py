"""Figure 4: a linear network of five hidden layers with a Jacobian-norm penalty (H.4): centring, then linearising.

Six factors make the outputs nonlinear in the weights, so that here the three methods are three.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from figures import trajectories
from toy.datasets import OFFLINE
from toy.records import Record

NEEDS = ("linear-network",)
DATA = OFFLINE
COMPARISON = trajectories.Comparison(
    rows={"linear-network": ("Jacobian penalty λ", "penalty exp(λ)")},
    methods=("STN", "Centered STN", "Δ-STN"),
)
CAPTION = "Figure 4. Linear network of five hidden layers with Jacobian-norm penalty (H.4)."


def draw(records: Sequence[Record]) -> Figure:
    """The picture."""
    return trajectories.draw(COMPARISON, records, CAPTION)
