"""Appendix G: where STN's expected objective has no minimum (G.2)."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from reference.claims.appendices.g import drawn, expected_loss
from reference.claims.instances import Setting
from reference.claims.registry import EXACT, Measured, claim
from reference.claims.routes import relative_error
from reference.problems import fixed_points
from reference.problems.ridge import Ridge


@claim(
    "G.2",
    "It has a unique minimum in (w0, Θ) only where every eigenvalue of K is above σ: at 0.9 of the least one it is "
    "convex and solved, at 1.1 it falls without bound along a line, and the code says so with an error.",
    EXACT,
    correction="appendix G calls G.7 and G.8 optimal whatever σ² > 0",
)
def eqn_g_2_no_minimum(rng: Generator) -> Measured:
    below, (ridge, point, K) = bend(*drawn(rng, 0.9)[:2]), drawn(rng, 1.1)
    above = bend(ridge, point)
    wrong = [below.size <= 0, above.size >= 0, not below.answered, above.answered]
    w0 = np.linalg.solve(K @ K - point.sigma**2 * np.eye(len(K)), K @ ridge.Xt)
    Theta = -np.linalg.solve(K, w0[:, None])
    printed = float(expected_loss(ridge, point, w0, Theta))
    lower = float(expected_loss(ridge, point, w0 + above.line[0], Theta + above.line[1]))
    return Measured(
        max(below.error, above.error, *map(float, wrong)),
        f"its second difference along that line is {below.size:.2g}, then {above.size:.2g}",
        printed=(printed - lower) / abs(printed),
    )


class Bend(NamedTuple):
    """G.2 along a line in (w0, Θ): its second difference, how far that is from the Hessian's, whether it was solved."""

    line: tuple[np.ndarray, np.ndarray]
    size: float
    error: float
    answered: bool


def bend(ridge: Ridge, point: Setting) -> Bend:
    """The line is the eigenvector of the Hessian's least eigenvalue."""
    eigenvalues, Q = np.linalg.eigh(fixed_points.joint_hessian(ridge, point.lam, point.sigma))
    w0, Theta = Q[: len(point.w0), 0], Q[len(point.w0) :, :1]
    ahead, here, behind = (float(expected_loss(ridge, point, s * w0, s * Theta)) for s in (1, 0, -1))
    size = ahead - 2 * here + behind
    error = relative_error(size, eigenvalues[0] / ridge.n, ahead, here)
    try:
        fixed_points.appendix_g_minimiser(ridge, point.lam, point.sigma)
    except ValueError:
        return Bend((w0, Theta), size, error, answered=False)
    return Bend((w0, Theta), size, error, answered=True)
