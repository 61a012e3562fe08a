"""argmin_w L(w) for a smooth, strictly convex L, by damped Newton steps w ← w - s H(w)⁻¹ g(w), to g's rounding.

Falls of the loss are measured relative to it, so that its least value must not be 0; cross entropy's is positive.

name     symbol     shape        meaning
loss     L          (...)        leading axes are replicates, each with a step size of its own
grad     g          (..., m)
hess     H          (..., m, m)
size     s          (...)        1, halved until the loss falls by a part of what the slope promises
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.bilevel.objective import Scalars

STEPS = 200
"""Steps before it is given up. On separable data each gains a bounded margin; a decay of e^-15 takes some thirty."""

FALL = 1e-4
"""Of the fall that the slope promises, the part that a step must bring (Armijo's condition)."""

ROUNDING = 1e-14
"""Relative rises of the loss below this are rounding."""

LAST = np.finfo(float).eps
"""Once the slope promises a relative fall below this, w is right to the root of it if L is curved enough there (H well
above rounding beside L), and a full step squares the error: two are taken, the second for what rounding has left."""


class NotConverged(ValueError):
    """Newton's method did not arrive; the message says how it ended."""


def newton(
    loss: Callable[[Float[ndarray, "... m"]], Scalars],
    grad: Callable[[Float[ndarray, "... m"]], Float[ndarray, "... m"]],
    hess: Callable[[Float[ndarray, "... m"]], Float[ndarray, "... m m"]],
    w: Float[ndarray, "... m"],
) -> Float[ndarray, "... m"]:
    """The minimiser, from the start `w`.

    Raises:
        NotConverged: the Hessian is not positive definite, w leaves the floats, or `STEPS` steps were not enough.

    Example, cosh(w - 3):
        >>> from numpy import cosh, sinh
        >>> newton(lambda w: cosh(w - 3)[0], lambda w: sinh(w - 3), lambda w: cosh(w - 3)[:, None], np.zeros(1))
        array([3.])
    """
    arrived = np.zeros(w.shape[:-1], dtype=int)
    for _ in range(STEPS):
        before, g = np.asarray(loss(w)), grad(w)
        step = _direction(g, hess(w))
        slope = np.vecdot(g, step)
        if (slope > ROUNDING * np.abs(before)).any():
            raise NotConverged("the Hessian is not positive definite")
        arrived = np.asarray(arrived + (-slope <= LAST * np.abs(before)))
        size = _step_size(loss, w, step, before, slope, np.asarray(arrived > 0))
        w = np.where(arrived[..., None] > 2, w, w + size[..., None] * step)
        if (arrived >= 2).all():
            return w
    raise NotConverged(f"no minimum after {STEPS} Newton steps")


def _direction(g: ndarray, H: ndarray) -> ndarray:
    try:
        step = -np.linalg.solve(H, g[..., None])[..., 0]
    except np.linalg.LinAlgError:
        raise NotConverged("the Hessian is singular") from None
    if not np.isfinite(step).all():
        raise NotConverged("the weights are no longer finite")
    return step


def _step_size(
    loss: Callable[[ndarray], Scalars], w: ndarray, step: ndarray, before: ndarray, slope: Scalars, arrived: ndarray
) -> ndarray:
    size = np.ones(arrived.shape)
    for _ in range(60):
        allowed = before + FALL * size * slope + ROUNDING * np.abs(before)
        high = (loss(w + size[..., None] * step) > allowed) & ~arrived
        if not high.any():
            return size
        size = np.where(high, size / 2, size)
    raise NotConverged("no step along Newton's direction lowers the loss")
