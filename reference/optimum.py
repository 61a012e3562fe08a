"""Eqn. 2.2: λ* = argmin_λ L_V(λ, r(λ)) for one hyperparameter, by a dense grid and a bracketed minimiser.

name        symbol        shape
lam_star    λ*            (..., h)
loss_star   L_V(r(λ*))    (...)
where       -             (...)      "interior", "lower end", "upper end" or "flat"
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from numpy import ndarray
from scipy.optimize import minimize_scalar

GRID = 601
ROUNDING = 1e-12
"""Relative differences of the loss below this are rounding, not shape."""


@dataclass(frozen=True)
class Optimum:
    """The exact answer to a bilevel problem, one for each replicate."""

    lam_star: Float[ndarray, "... h"]
    loss_star: Float[ndarray, "..."]
    where: Shaped[ndarray, "..."]


def bounded_optimum(outer_loss: Callable[[ndarray], ndarray | np.floating], bounds: tuple[float, float]) -> Optimum:
    """Minimise `outer_loss`, which maps λ (..., 1) to losses (...), over the interval `bounds`.

    The curve can be flat or have its infimum at an end; `where` says which. An end is reported whenever its
    loss is within rounding of the least, as happens where a penalty has vanished and the curve has levelled off.

    Raises:
        ValueError: the loss is not finite somewhere in the interval.

    Example:
        >>> optimum = bounded_optimum(lambda lam: (lam[..., 0] - 2.0) ** 2 + 5.0, (-15.0, 15.0))
        >>> optimum.lam_star.round(6), optimum.loss_star, optimum.where.item()
        (array([2.]), array(5.), 'interior')
    """
    grid = np.linspace(*bounds, GRID)
    one = np.asarray(outer_loss(grid[:1]))  # its shape is the replicates'
    losses = np.asarray(outer_loss(grid.reshape(-1, *[1] * (one.ndim + 1))))
    if not np.isfinite(losses).all():
        raise ValueError("the outer loss is not finite at every λ of the interval: no optimum can be given")
    answers = [_minimise_one(outer_loss, grid, losses, index) for index in np.ndindex(one.shape)]
    lam_star, loss_star, where = (np.array(part).reshape(one.shape) for part in zip(*answers, strict=True))
    return Optimum(lam_star[..., None], loss_star, where)


def _minimise_one(
    outer_loss: Callable[[ndarray], ndarray | np.floating], grid: ndarray, losses: ndarray, index: tuple[int, ...]
) -> tuple[float, float, str]:
    curve = losses[(slice(None), *index)]
    least = curve.min()
    level = least + ROUNDING * abs(least)
    if curve.max() <= level:
        return grid[len(grid) // 2], least, "flat"
    for end, name in ((0, "lower end"), (-1, "upper end")):
        if curve[end] <= level:
            return grid[end], curve[end], name
    best = int(curve.argmin())
    found = minimize_scalar(
        lambda x: np.asarray(outer_loss(np.array([x])))[index],
        bounds=(grid[best - 1], grid[best + 1]),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return found.x, found.fun, "interior"
