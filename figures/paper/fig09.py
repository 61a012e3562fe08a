"""Figure 9: weight decay from exp(λ) = 50: what centring alone does, and the new objective with it.

Δ-STN and "Reparam STN + New Obj.", that is Centered STN, take the same steps here, since a model of one layer is linear
in its weights: Δ-STN is the broad line beneath.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from figures.drawing import trajectories
from toy.datasets import OFFLINE
from toy.records import Record

NEEDS = ("decoupling",)
DATA = OFFLINE
COMPARISON = trajectories.Comparison(
    rows={"decoupling": ("weight decay λ", "penalty exp(λ)")},
    methods=("Δ-STN", "STN", "Reparam STN", "Centered STN"),
    first=100,
    looks={"Δ-STN": {"linewidth": 4.5, "alpha": 0.35}},
    names={"Centered STN": "Reparam STN + New Obj."},
)
CAPTION = (
    "Figure 9. Linear regression with weight decay (H.1) from exp(λ) = 50; on top the first 100 updates. Δ-STN lies "
    "under Reparam STN + New Obj. (Centered STN), with which it coincides: one layer is linear in its weights."
)


def draw(records: Sequence[Record]) -> Figure:
    """The picture."""
    return trajectories.draw(COMPARISON, records, CAPTION)
