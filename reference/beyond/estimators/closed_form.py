"""Eqn. 2.2 with r(λ) solved to the end: exact differentiation, central differences, and evolution strategies.

name      symbol    shape     meaning
F         F(λ)      ()        L_V(λ, r(λ)), the outer loss
z         z         (h,)      standard normals
sigma     σ         ()        scale of the smoothing

    Exact                  Eqn. 2.4 in closed form
    CentralDifferences     (F(λ + se_i) - F(λ - se_i)) / 2s for each i
    EvolutionStrategies    mean over pairs of (F(λ + σz) - F(λ - σz)) z / 2σ, whose expectation is ∇_λ E[F(λ + σz)]

What a solution costs: XᵀX once (nm² operations); for each λ a factorisation and a solution (m³/3 + 2m²). Where r(λ) is
found by Newton's method, H moves: each step takes a gradient, forms H (nm² at most) and factorises it; what a line
search looks at besides is not counted. m is the number of weights: a linear network, whose r(λ) is ridge's in its few
outputs, is charged for more than is used. All rows are used, whatever the mini-batch, and not the weights given.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.beyond.estimators.estimator import Estimator
from reference.beyond.estimators.price import LOSS, PRODUCT, Inner, affordable


@dataclass(frozen=True, kw_only=True)
class ClosedForm(Estimator):
    """What solves the inner problem to the end.

    Args:
        factorisations: Newton's steps to r(λ); one where the training loss is quadratic.
    """

    factorisations: int = 1

    def solution(self, inner: Inner) -> float:
        """Operations for r(λ) at one more λ."""
        n, m = inner.n, inner.m
        moving = 4 * n * m + n * m**2 if self.factorisations > 1 else 0.0
        return self.factorisations * (m**3 / 3 + 2 * m**2 + moving)

    def form(self, inner: Inner) -> None:
        """Pay for XᵀX, which serves every λ."""
        if self.factorisations == 1:
            inner.operations(inner.n * inner.m**2)

    def outer_loss(self, inner: Inner, lam: Float[ndarray, "h"]) -> float:
        """F(λ)."""
        inner.operations(self.solution(inner))
        inner.price += LOSS
        return float(inner.problem.outer_loss(lam))


@dataclass(frozen=True, kw_only=True)
class Exact(ClosedForm):
    """`Problem.hypergradient`: one factorisation serves r(λ) and the adjoint."""

    @property
    def name(self) -> str:
        return "exact"

    def hypergradient(
        self, inner: Inner, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], budget: float
    ) -> Float[ndarray, "h"]:
        self.form(inner)
        inner.operations(self.solution(inner) + 2 * inner.m**2)
        inner.price += 1.0 + PRODUCT  # ∂L_V/∂w, and the adjoint's product with B
        return inner.problem.hypergradient(lam)


@dataclass(frozen=True, kw_only=True)
class CentralDifferences(ClosedForm):
    """2h outer losses.

    Args:
        step: where rounding, eps/step, and truncation, step², balance for losses of size and curvature one.
    """

    step: float = np.finfo(float).eps ** (1 / 3)

    @property
    def name(self) -> str:
        return "central differences"

    def hypergradient(
        self, inner: Inner, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], budget: float
    ) -> Float[ndarray, "h"]:
        self.form(inner)
        return np.array([self._slope(inner, lam, e) for e in np.eye(len(lam))])

    def _slope(self, inner: Inner, lam: Float[ndarray, "h"], direction: Float[ndarray, "h"]) -> float:
        return slope(lambda point: self.outer_loss(inner, point), lam, direction, self.step)


@dataclass(frozen=True, kw_only=True)
class EvolutionStrategies(ClosedForm):
    """Antithetic Gaussian smoothing: as many pairs λ ± σz as the budget buys, one at least."""

    sigma: float

    @property
    def name(self) -> str:
        return "evolution strategies"

    def hypergradient(
        self, inner: Inner, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], budget: float
    ) -> Float[ndarray, "h"]:
        self.form(inner)
        pair = 2 * (LOSS + self.solution(inner) / (4 * inner.n * inner.m))
        z = inner.rng.standard_normal((max(1, affordable(budget, inner.price, pair)), len(lam)))
        slopes = np.array(
            [slope(lambda point: self.outer_loss(inner, point), lam, direction, self.sigma) for direction in z]
        )
        return slopes @ z / len(z)


def slope(
    F: Callable[[Float[ndarray, "h"]], float], lam: Float[ndarray, "h"], direction: Float[ndarray, "h"], step: float
) -> float:
    """(F(λ + step·d) - F(λ - step·d)) / (2 step).

    Example, exact for a parabola:
        >>> slope(lambda lam: lam[0] ** 2, np.array([3.0]), np.array([1.0]), step=0.5)
        np.float64(6.0)
    """
    return (F(lam + step * direction) - F(lam - step * direction)) / (2 * step)
