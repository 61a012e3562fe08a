"""Figures b2 and b2b, beyond the paper: figures 3, 4, 7 and 8 with the control variate, at σ = 1 and at σ = 0.3.

From H.1's own starts; with the control variate Θ's step is divided by σ², which at σ = 1 changes nothing.
"""

from collections.abc import Mapping

from figures.drawing.trajectories import Comparison
from figures.paper.series import DECAY, DROPOUT
from figures.reading.variants import CV, CV_SMALL, VARIANTS

METHODS = ("STN", "Δ-STN", CV, CV_SMALL)
RUNS = tuple(VARIANTS[name] for name in METHODS)
SIGMA = "Where σ is not given it is 1; with CV Θ's step is divided by σ²."
COMPARISONS: Mapping[str, Comparison] = {
    "figb2": Comparison(
        "Figure b2. As figures 3 and 7, with the control variate (CV). Above: weight decay; below: input dropout. "
        f"{SIGMA}",
        rows={"ridge": DECAY, "dropout": DROPOUT},
        methods=METHODS,
    ),
    "figb2b": Comparison(
        "Figure b2b. As figures 8 and 4, with the control variate (CV). Above: undivided penalty; below: linear "
        f"network. {SIGMA}",
        rows={"ridge-undivided": DECAY, "linear-network": ("Jacobian penalty λ", "penalty exp(λ)")},
        methods=METHODS,
    ),
}
