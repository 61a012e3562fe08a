"""Eqn. 2.2 for many hyperparameters: the least L_V(λ, r(λ)) found in a box, by descent on the exact hypergradient.

name        symbol            shape
lam         λ                 (h,)
outer       -                 λ -> (L_V(λ, r(λ)), dL_V/dλ)
bounds      -                 the box: every λ_i lies between the two

The outer loss is not convex in λ, so this is the best that was found and not proved to be λ*. It is reproducible (no
random starts) and never worse than one value for all hyperparameters that lies on the grid of the first stage.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import minimize

from reference.bilevel.problem import Problem

DIAGONAL = 31
"""Points of the first stage, λ = c·1."""

AROUND = (0.0, -3.0, 3.0)
"""The descents start at the best of them, and at these distances from it."""


Outer = Callable[[Float[ndarray, "h"]], tuple[float, Float[ndarray, "h"]]]


def adjoint(problem: Problem) -> Outer:
    """λ -> (L_V, dL_V/dλ) of one replicate, from one best response and one solve: -(∂²L_T/∂w∂λ)ᵀ (∂²L_T/∂w²)⁻¹ ∂L_V/∂w.

    Raises:
        numpy.linalg.LinAlgError: the training Hessian is singular at r(λ), as a linear network's is.
    """

    def outer(lam: Float[ndarray, "h"]) -> tuple[float, Float[ndarray, "h"]]:
        r = problem.best_response(lam)
        z = np.linalg.solve(problem.hess_ww(lam, r), problem.valid_grad_w(lam, r))
        return float(problem.valid_loss(lam, r)), problem.valid_grad_lam(lam, r) - problem.hess_wlam(lam, r).T @ z

    return outer


def multistart(outer: Outer, h: int, bounds: tuple[float, float]) -> tuple[Float[ndarray, "h"], str]:
    """Three descents (L-BFGS-B) from the best point of the box's diagonal and from two beside it; the least of all.

    With it goes "interior", or "boundary" if a λ_i lies on the box.

    Raises:
        ValueError: the loss or its gradient is not finite on the way.

    Example, a bowl about (2, 20), which the box cuts off at 15:
        >>> lam, where = multistart(lambda lam: (np.sum((lam - [2, 20]) ** 2), 2 * (lam - [2, 20])), 2, (-15.0, 15.0))
        >>> lam.round(6), where
        (array([ 2., 15.]), 'boundary')
    """

    def checked(lam: ndarray) -> tuple[float, ndarray]:
        loss, gradient = outer(lam)
        if not np.isfinite(loss) or not np.isfinite(gradient).all():
            raise ValueError("the outer loss or its gradient is not finite within the box: no optimum can be given")
        return loss, gradient

    diagonal = [(checked(np.full(h, c))[0], c) for c in np.linspace(*bounds, DIAGONAL)]
    centre = min(diagonal)[1]
    starts = np.clip([centre + step for step in AROUND], *bounds)
    options = {"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-10}
    ends = [
        minimize(checked, np.full(h, c), jac=True, method="L-BFGS-B", bounds=[bounds] * h, options=options)
        for c in starts
    ]
    least = min(ends, key=lambda end: end.fun)
    return least.x, "boundary" if np.isin(least.x, bounds).any() else "interior"
