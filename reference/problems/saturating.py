"""Figure 2's small nonlinear problem: ridge regression on two features whose slopes saturate, v_i = c_i tanh(w_i).

name    symbol   shape       meaning
w       w        (..., m)    weights
v       v        (..., m)    slopes: predictions are Xv
c       c        (..., m)    bounds on the slopes
lam     λ        (..., 1)    the penalty itself (s is the identity, as in appendix G), undivided

The training loss is quadratic in v. To Theorem 3's quadratic in (λ, v) it adds a multiple of ε‖Δv‖²,
odd in ε and so of mean 0 where Δv is linear in ε: at w0 = r(λ) whatever separates Θ's resting place from the exact
Jacobian comes from the curvature of w ↦ v alone. The best response is w = artanh(v*(λ)/c), v* ridge's.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.bilevel.networks import Network
from reference.bilevel.objective import real
from reference.bilevel.optimum import Optimum
from reference.bilevel.problem import Problem
from reference.problems.ridge import Ridge


@dataclass(frozen=True)
class Saturation(Network):
    """v = c tanh(w), element by element."""

    c: Float[ndarray, "... m"]

    def __call__(self, w: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        return self.c * np.tanh(w)

    def slope(self, w: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        """dv_i/dw_i = c_i / cosh²(w_i), the diagonal of J_vw."""
        return self.c / np.cosh(w) ** 2

    def jvp(self, w: Float[ndarray, "... m"], dw: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        return self.slope(w) * dw

    def vjp(self, w: Float[ndarray, "... m"], g: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        return self.slope(w) * g

    def jacobian(self, w: Float[ndarray, "... m"]) -> Float[ndarray, "... m m"]:
        """J_vw = diag(dv_i/dw_i), with c of its own for each replicate."""
        return self.slope(w)[..., None] * np.eye(w.shape[-1])

    def curvature(self, w: Float[ndarray, "... m"], g: Float[ndarray, "... m"]) -> Float[ndarray, "... m m"]:
        return (-2 * np.tanh(w) * self.slope(w) * g)[..., None] * np.eye(w.shape[-1])


@dataclass(frozen=True, kw_only=True)
class SaturatingSlopes(Ridge):
    """Ridge regression whose slopes stay within ±c.

    Example, with X = I, Xᵀt = (1, 1), n = 2 and penalty λ = 1/2 (K = I + 2λI = 2I), v* = 1/2 = c tanh(w):
        >>> from reference.bilevel.transforms import Linear
        >>> eye, ones = np.eye(2), np.ones(2)
        >>> problem = SaturatingSlopes(eye, ones, eye, ones, divisor=1.0, s=Linear(), c=ones)
        >>> np.tanh(problem.best_response(np.array([0.5])))
        array([0.5, 0.5])
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 5.0)
    c: Float[ndarray, "... m"]

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "c", real("c", self.c))

    @cached_property
    def f(self) -> Saturation:  # type: ignore[override]
        """w -> v."""
        return Saturation(self.c)

    def best_response(self, lam: Float[ndarray, "... 1"]) -> Float[ndarray, "... m"]:
        """r(λ) = artanh(v*(λ)/c).

        Raises:
            ValueError: a slope of ridge's lies at or beyond its bound: the best response is at infinity.
        """
        ratio = self.best_output(lam) / self.c
        if np.any(np.abs(ratio) >= 1):
            raise ValueError("the best slope lies at or beyond its bound c: no finite best response")
        return np.arctanh(ratio)

    def best_response_jacobian(self, lam: Float[ndarray, "... 1"]) -> Float[ndarray, "... m 1"]:
        """dr/dλ = J_vw⁻¹ dv*/dλ, J_vw being diagonal."""
        return self.best_output_jacobian(lam) / self.f.slope(self.best_response(lam))[..., None]

    def optimum(self) -> Optimum:
        """λ* among the penalties of `bounds`, at all of which r is finite."""
        return Problem.optimum(self)
