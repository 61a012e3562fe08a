"""Appendix G: where STN's expected objective has no minimum (G.2)."""

import numpy as np
from numpy.random import Generator

from reference import fixed_points
from reference.claims.appendix_g import drawn, expected_loss
from reference.claims.instances import Setting
from reference.claims.registry import BOUND, Measured, claim
from reference.ridge import Ridge


@claim(
    "G.2",
    "It has a unique minimum in (w0, Θ) only where every eigenvalue of K is above σ: at 0.9 of the least one it is "
    "convex and solved, at 1.1 it falls without bound along a line, and the code says so with an error.",
    BOUND,
    correction="appendix G calls G.7 and G.8 optimal whatever σ² > 0",
)
def eqn_g_2_no_minimum(rng: Generator) -> Measured:
    below, above = (bends(*drawn(rng, share)[:2]) for share in (0.9, 1.1))
    wrong = (below[0] <= 0) + (above[0] >= 0) + (not below[1]) + above[1]
    return float(wrong), f"its second difference along that line is {below[0]:.2g}, then {above[0]:.2g}"


def bends(ridge: Ridge, at: Setting) -> tuple[float, bool]:
    """G.2's second difference along its Hessian's least eigenvector, and whether `appendix_g_minimiser` answers."""
    line = np.linalg.eigh(fixed_points.joint_hessian(ridge, at.lam, at.sigma))[1][:, 0]
    w0, Theta = np.split(line[:, None], 2)
    ahead, here, behind = (float(expected_loss(ridge, at, s * w0[:, 0], s * Theta)) for s in (1, 0, -1))
    try:
        fixed_points.appendix_g_minimiser(ridge, at.lam, at.sigma)
    except ValueError:
        return ahead - 2 * here + behind, False
    return ahead - 2 * here + behind, True
