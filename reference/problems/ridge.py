"""Eqn. H.1: L_T(λ, w) = (1/2n) ‖Xw - t‖² + (s(λ)/2n) wᵀDw, with s = exp and D = I; and its relatives.

name       symbol    shape       meaning
lam        λ         (..., 1)    unconstrained
s          s         -           Exp (H.1), Linear (appendix G, where λ is the penalty itself)
divisor    n         ()          what divides the penalty: n as in H.1, or 1 ("undivided", figure 8)
metric     D         (..., m)    a positive diagonal, as a vector; 1.0 is I, as in H.1
weight     p         (..., 1)    (n/divisor) s(λ)
K          K         (..., m, m) A + p D, so that r(λ) = K⁻¹ Xᵀt
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.bilevel.objective import Scalars, real
from reference.bilevel.optimum import Optimum
from reference.bilevel.transforms import Exp, Linear, Transform
from reference.numerics.normal_equations import NormalEquations
from reference.problems.regression import Regression


@dataclass(frozen=True)
class Ridge(Regression):
    """Eqn. H.1: ridge regression, one penalty for all weights.

    A mini-batch (`rows`) averages the data term over its own rows and keeps the penalty's divisor and metric.

    Args:
        metric: D, for all replicates (m,) or of its own for each, or a number for that multiple of I.

    Raises:
        ValueError: the divisor is not positive, or the metric not positive, or of another length than w.

    Example, with n = 2, A = I, Xᵀt = (2, 4) and penalty exp(0) = 1, so r = (2, 4)/2:
        >>> eye, t = np.eye(2), np.array([2.0, 4.0])
        >>> ridge = Ridge(eye, t, eye, np.zeros(2), divisor=2.0)
        >>> ridge.best_response(np.array([0.0]))
        array([1., 2.])
        >>> ridge.best_response_jacobian(np.array([0.0]))[:, 0]
        array([-0.5, -1. ])
        >>> ridge.hypergradient(np.array([0.0]))
        array([-1.25])

    The same in the metric diag(1, 3), so that K = diag(2, 4) and r = (2/2, 4/4):
        >>> Ridge(eye, t, eye, t, divisor=2.0, metric=np.array([1.0, 3.0])).best_response(np.array([0.0]))
        array([1., 1.])
    """

    divisor: float
    s: Transform = Exp()
    metric: float | Float[ndarray, "... m"] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.divisor > 0:
            raise ValueError(f"divisor = {self.divisor}: what divides the penalty must be positive")
        metric, (*lead, _, m) = real("metric", np.asarray(self.metric)), self.X.shape
        if metric.shape not in ((), (m,), (*lead, m)):
            raise ValueError(f"metric has shape {metric.shape}; one number for each of {m} features is needed")
        if not (metric > 0).all():
            raise ValueError("metric holds a number that is not positive: a weight would have no penalty")
        object.__setattr__(self, "metric", metric if metric.ndim else float(metric))

    @cached_property
    def D(self) -> Float[ndarray, "... m"]:
        """The metric's diagonal, written out."""
        return self.metric * np.ones(self.X.shape[-1])

    @cached_property
    def equations(self) -> NormalEquations:
        """(A + p D) x = b."""
        return NormalEquations(self.gram, self.D)

    def weight(self, lam: Float[ndarray, "... 1"]) -> Float[ndarray, "... 1"]:
        """p = (n/divisor) s(λ)."""
        with np.errstate(over="ignore"):  # refused where it matters
            return self.n / self.divisor * self.s(np.asarray(lam, dtype=float))

    def K(self, lam: Float[ndarray, "... 1"]) -> Float[ndarray, "... m m"]:
        """n ∂²L_T/∂w² = A + (n/divisor) s(λ) D."""
        return self.A + (self.weight(lam) * self.metric)[..., None] * np.eye(self.X.shape[-1])

    def best_output(self, lam: Float[ndarray, "... 1"]) -> Float[ndarray, "... m"]:
        """v*(λ) = K⁻¹ Xᵀt, whatever network stands before the loss.

        Raises:
            ValueError: K is not positive definite, so that there is no minimum, or no unique one; or not finite.
        """
        return self.equations.fit(self.weight(lam))

    def best_output_jacobian(self, lam: Float[ndarray, "... 1"]) -> Float[ndarray, "... m 1"]:
        """dv*/dλ = -K⁻¹ n ∂²L_T/∂v∂λ = -s'(λ) (n/divisor) K⁻¹ D v*(λ). Raises as `best_output` does."""
        with np.errstate(over="ignore"):  # refused where it matters
            slope = self.n / self.divisor * self.s.derivative(np.asarray(lam, dtype=float))
        p = self.weight(lam)
        return self.equations.combination(p, np.zeros_like(p), -slope)[..., None]

    def best_response(self, lam: Float[ndarray, "... 1"]) -> Float[ndarray, "... p"]:
        """r(λ) = v*(λ), the network being the identity."""
        return self.best_output(lam)

    def best_response_jacobian(self, lam: Float[ndarray, "... 1"]) -> Float[ndarray, "... p 1"]:
        """dr/dλ = dv*/dλ, the network being the identity."""
        return self.best_output_jacobian(lam)

    def outer_loss(self, lam: Float[ndarray, "... 1"]) -> Scalars:
        """L_V(v*(λ)), whatever network stands before the loss."""
        return self.valid_loss_v(lam, self.best_output(lam))

    def hypergradient(self, lam: Float[ndarray, "... 1"]) -> Float[ndarray, "... 1"]:
        """Eqn. 2.4 in the outputs: (dv*/dλ)ᵀ ∂L_V/∂v, whatever network stands before the loss."""
        return np.vecmat(self.valid_grad_v(lam, self.best_output(lam)), self.best_output_jacobian(lam))

    def optimum(self) -> Optimum:
        """λ* within `bounds`; where λ is the penalty itself, a penalty whose logarithm is within them."""
        if not isinstance(self.s, Linear):
            return super().optimum()
        optimum = replace(self, s=Exp()).optimum()
        return replace(optimum, lam_star=np.exp(optimum.lam_star))

    def train_loss_v(self, lam: Float[ndarray, "... 1"], v: Float[ndarray, "... m"]) -> Scalars:
        """Eqn. H.1, in the metric D."""
        residual = np.matvec(self.X, v) - self.t
        penalty = self.s(lam)[..., 0] / (2 * self.divisor) * np.sum(self.metric * v**2, axis=-1)
        return np.sum(residual**2, axis=-1) / (2 * self.n) + penalty

    def train_grad_v(self, lam: Float[ndarray, "... 1"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        """(1/n) Xᵀ(Xv - t) + (s(λ)/divisor) Dv."""
        residual = np.matvec(self.X, v) - self.t
        return np.vecmat(residual, self.X) / self.n + self.s(lam) / self.divisor * self.metric * v

    def train_hess_vv(self, lam: Float[ndarray, "... 1"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m m"]:
        """K / n."""
        return self.K(lam) / self.n

    def train_hess_vec(
        self, lam: Float[ndarray, "... 1"], v: Float[ndarray, "... m"], dv: Float[ndarray, "... m"]
    ) -> Float[ndarray, "... m"]:
        """(1/n) XᵀXΔv + (s(λ)/divisor) DΔv."""
        return np.vecmat(np.matvec(self.X, dv), self.X) / self.n + self.s(lam) / self.divisor * self.metric * dv

    def train_hess_vlam(self, lam: Float[ndarray, "... 1"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m 1"]:
        """(s'(λ)/divisor) Dv."""
        return (self.s.derivative(lam) / self.divisor * self.metric * v)[..., None]
