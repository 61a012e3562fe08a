"""Eqn. 2.2: λ* = argmin_λ L_V(λ, r(λ)) for one hyperparameter, where the hypergradient changes its sign, or at an end.

name          symbol        shape
outer_loss    L_V(λ, r(λ))  (..., 1) -> (...)
hypergradient dL_V/dλ       (..., 1) -> (..., 1)
lam_star      λ*            (..., h)
loss_star     L_V(r(λ*))    (...)
where         -             (...)      "interior", "lower end", "upper end" or "flat"; for h > 1 "boundary"
rounding      -             (...)      what rounding leaves uncertain of loss_star
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from numpy import ndarray
from scipy.optimize import brentq

GRID = 601
ROUNDING = 1e-12
"""Relative differences of the loss below this are rounding, not shape."""


@dataclass(frozen=True)
class Optimum:
    """The exact answer to a bilevel problem, one for each replicate.

    Where `loss_star` is not well above `rounding`, as where the validation rows are predicted perfectly, neither it nor
    the place has eight digits: any λ whose regret is 0 is as good.
    """

    lam_star: Float[ndarray, "... h"]
    loss_star: Float[ndarray, "..."]
    where: Shaped[ndarray, "..."]
    rounding: Float[ndarray, "..."]


Curve = Callable[[ndarray], ndarray | np.floating]


def bounded_optimum(
    outer_loss: Curve, hypergradient: Curve, bounds: tuple[float, float]
) -> tuple[Float[ndarray, "... 1"], Shaped[ndarray, "..."]]:
    """λ* over the interval `bounds`, and where it lies; of a flat curve the middle.

    The sign of the hypergradient tells a minimum from a slope also where differences of the loss have been lost in
    rounding, as where a penalty has vanished and the curve has levelled off. Minima closer than a grid step (1/600 of
    the interval) count as one.

    Raises:
        ValueError: loss or hypergradient are not finite somewhere, or two λ have the least loss to twelve digits.

    Example:
        >>> lam_star, where = bounded_optimum(
        ...     lambda lam: (lam[..., 0] - 2.0) ** 2 + 5.0, lambda lam: 2 * (lam - 2.0), (-15.0, 15.0)
        ... )
        >>> lam_star, where.item()
        (array([2.]), 'interior')
    """
    grid = np.linspace(*bounds, GRID)
    lead = np.shape(outer_loss(grid[:1]))  # the replicates'
    points = grid.reshape(-1, *[1] * (len(lead) + 1))
    losses, slopes = np.asarray(outer_loss(points)), np.asarray(hypergradient(points))[..., 0]
    if not (np.isfinite(losses).all() and np.isfinite(slopes).all()):
        raise ValueError(
            "the outer loss or its slope is not finite at every λ of the interval: no optimum can be given"
        )
    answers = []
    for index in np.ndindex(lead):

        def loss(lam: float, index: tuple[int, ...] = index) -> float:
            return float(np.asarray(outer_loss(np.array([lam])))[index])

        def slope(lam: float, index: tuple[int, ...] = index) -> float:
            return float(np.asarray(hypergradient(np.array([lam])))[index][0])

        curve = (slice(None), *index)
        answers.append(_least(loss, slope, grid, losses[curve], slopes[curve]))
    lam_star, where = (np.array(part).reshape(lead) for part in zip(*answers, strict=True))
    return lam_star[..., None], where


def _least(
    loss: Callable[[float], float], slope: Callable[[float], float], grid: ndarray, losses: ndarray, slopes: ndarray
) -> tuple[float, str]:
    if np.ptp(losses) <= ROUNDING * np.abs(losses).min():
        return grid[len(grid) // 2], "flat"
    rising = slopes >= 0
    minima = [(losses[0], grid[0], "lower end")] if rising[0] else []
    minima += [] if rising[-1] else [(losses[-1], grid[-1], "upper end")]
    for k in np.flatnonzero(~rising[:-1] & rising[1:]):
        lam = float(brentq(slope, grid[k], grid[k + 1], xtol=1e-12))  # type: ignore[arg-type]
        minima.append((loss(lam), lam, "interior"))
    (least, lam, where), *others = sorted(minima)
    if others and others[0][0] - least <= ROUNDING * abs(least):
        raise ValueError(
            f"λ = {lam:.4g} and {others[0][1]:.4g} have the least loss to twelve digits: no unique optimum"
        )
    return lam, where
