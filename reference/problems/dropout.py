"""Eqn. H.2: L_T(λ, w) = (1/2n) ‖(R ⊙ X)w - t‖², R a random mask: in expectation, ridge in the metric D = diag(XᵀX).

    name       symbol        shape       meaning
    lam        λ             (..., 1)    logit p, unconstrained
    p, q       p, 1 - p      (..., 1)    probability that an input is dropped, and kept
    D          diag(XᵀX)     (..., m)    the metric, as a vector
    uniforms   ξ             (..., b, m) an input is kept where its uniform is at least p

With inverted scaling (Departure D3: inputs that stay are divided by q, as every framework does) the expected loss is
(1/2n) (‖Xw - t‖² + e^λ wᵀDw), since p/q = e^λ; without it, (1/2n) (‖qXw - t‖² + pq wᵀDw).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.special import expit

from reference.bilevel.objective import Scalars, TrainingObjective, minibatch
from reference.numerics.normal_equations import NormalEquations
from reference.problems.regression import Regression


@dataclass(frozen=True)
class InputDropout(Regression):
    """Linear regression with input dropout, its loss the exact expectation over masks.

    Args:
        inverted: divide the inputs that stay by q, so that validation runs without dropout unchanged.

    Example, at p = 1/2 (λ = 0): K = A + D = 2I and r = Xᵀt/2:
        >>> eye, t = np.eye(2), np.array([2.0, 4.0])
        >>> InputDropout(eye, t, eye, t).best_response(np.array([0.0]))
        array([1., 2.])
    """

    inverted: bool = True

    @cached_property
    def D(self) -> Float[ndarray, "... m"]:
        """diag(XᵀX)."""
        return np.sum(self.X**2, axis=-2)

    def scale(self, lam: Float[ndarray, "... 1"]) -> tuple[ndarray, ndarray, ndarray, ndarray]:
        """a, a', c, c' of n L_T = ½ (a² wᵀAw - 2a wᵀXᵀt + tᵀt + c wᵀDw): a = 1, c = e^λ or a = q, c = pq."""
        if self.inverted:
            odds = np.exp(lam)
            return np.ones_like(lam), np.zeros_like(lam), odds, odds
        p, q = expit(lam), expit(-lam)
        return q, -p * q, p * q, p * q * (q - p)

    @cached_property
    def equations(self) -> NormalEquations:
        """(A + p D) x = b.

        Raises:
            ValueError: a feature is 0 in every training row: neither data nor dropout see its weight.
        """
        return NormalEquations(self.gram, self.D)

    def K(self, lam: Float[ndarray, "... 1"]) -> Float[ndarray, "... m m"]:
        """n ∂²L_T/∂w² = a²A + cD."""
        a, _, c, _ = self.scale(lam)
        return a[..., None] ** 2 * self.A + c[..., None] * self.D[..., None] * np.eye(self.X.shape[-1])

    def best_response(self, lam: Float[ndarray, "... 1"]) -> Float[ndarray, "... m"]:
        """r(λ) = K⁻¹ a Xᵀt; with a = q it is (A + e^λ D)⁻¹ Xᵀt / q. Raises as `equations` does."""
        lam = np.asarray(lam, dtype=float)
        return self.equations.fit(_odds(lam)) / (1.0 if self.inverted else expit(-lam))

    def best_response_jacobian(self, lam: Float[ndarray, "... 1"]) -> Float[ndarray, "... m 1"]:
        """-e^λ K⁻¹D r, as ridge's; without inverted scaling the derivative of (A + e^λ D)⁻¹ Xᵀt (1 + e^λ).

        With x = (A + e^λ D)⁻¹ Xᵀt that is e^λ (A + e^λ D)⁻¹ (A + e^λ D - (1 + e^λ) D) x, in which the e^λ D cancel.
        """
        odds = _odds(np.asarray(lam, dtype=float))
        return self.equations.combination(odds, odds * (not self.inverted), -odds)[..., None]

    def train_loss_v(self, lam: Float[ndarray, "... 1"], v: Float[ndarray, "... m"]) -> Scalars:
        """E_R of Eqn. H.2."""
        a, _, c, _ = self.scale(lam)
        residual = a * np.matvec(self.X, v) - self.t
        return (np.sum(residual**2, axis=-1) + np.sum(c * self.D * v**2, axis=-1)) / (2 * self.n)

    def train_grad_v(self, lam: Float[ndarray, "... 1"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        """(Kv - a Xᵀt) / n."""
        a, _, c, _ = self.scale(lam)
        residual = a * np.matvec(self.X, v) - self.t
        return (a * np.vecmat(residual, self.X) + c * self.D * v) / self.n

    def train_hess_vv(self, lam: Float[ndarray, "... 1"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m m"]:
        """K / n."""
        return self.K(lam) / self.n

    def train_hess_vec(
        self, lam: Float[ndarray, "... 1"], v: Float[ndarray, "... m"], dv: Float[ndarray, "... m"]
    ) -> Float[ndarray, "... m"]:
        """(a² XᵀXΔv + cDΔv) / n."""
        a, _, c, _ = self.scale(lam)
        return (a**2 * np.vecmat(np.matvec(self.X, dv), self.X) + c * self.D * dv) / self.n

    def train_hess_vlam(self, lam: Float[ndarray, "... 1"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m 1"]:
        """(2aa' Av - a' Xᵀt + c' Dv) / n."""
        a, da, _, dc = self.scale(lam)
        return ((2 * a * da * np.matvec(self.A, v) - da * self.Xt + dc * self.D * v) / self.n)[..., None]

    def masked(self, rows: Int[ndarray, "... b"], uniforms: Float[ndarray, "... b m"]) -> "MaskedRegression":
        """Eqn. H.2 itself on a mini-batch; the masks are `uniforms >= p`, so that they move with λ."""
        X, t = minibatch(self.X, self.t, rows)
        return MaskedRegression(X, t, uniforms, self.inverted)


@dataclass(frozen=True)
class MaskedRegression(TrainingObjective):
    """Eqn. H.2 with its masks drawn: an unbiased sample of the loss and gradient of InputDropout."""

    X: Float[ndarray, "... b m"]
    t: Float[ndarray, "... b"]
    uniforms: Float[ndarray, "... b m"]
    inverted: bool = True

    def inputs(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... b m"]:
        """R ⊙ X, divided by q with inverted scaling; one rate for all columns (h = 1), or one for each (h = m)."""
        masked = self.X * (self.uniforms >= expit(lam)[..., None, :])
        return masked / expit(-lam)[..., None, :] if self.inverted else masked

    def train_loss_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Scalars:
        """Eqn. H.2."""
        residual = np.matvec(self.inputs(lam), v) - self.t
        return np.sum(residual**2, axis=-1) / (2 * residual.shape[-1])

    def train_grad_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        """(1/b) (R ⊙ X)ᵀ ((R ⊙ X)v - t)."""
        X = self.inputs(lam)
        residual = np.matvec(X, v) - self.t
        return np.vecmat(residual, X) / residual.shape[-1]


def _odds(lam: ndarray) -> ndarray:
    with np.errstate(over="ignore"):  # refused where it matters
        return np.exp(lam)
