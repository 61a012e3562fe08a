"""Eqn. 1.1: λ* = argmin_λ L_V(λ, r(λ)), r(λ) = argmin_w L_T(λ, w): what every problem here can answer exactly.

    name     symbol   shape       meaning
    lam      λ        (..., h)    hyperparameters, unconstrained
    w        w        (..., m)    weights
    f        f        m -> k      the network: v = f(w), all that the losses see of w
    v        v        (..., k)    outputs

A problem gives its network and both losses as functions of (λ, v); the chain rule below gives the rest. Leading
axes (...) are replicates and broadcast as in numpy.linalg.
"""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Shaped
from numpy import ndarray

from reference.bilevel.objective import Scalars, TrainingObjective
from reference.bilevel.optimum import Optimum, bounded_optimum
from reference.numerics.elimination import to_eight_digits


class Problem(TrainingObjective):
    """Eqn. 1.1, a bilevel problem whose best response can be computed."""

    bounds: ClassVar[tuple[float, float]] = (-15.0, 15.0)
    """The interval of λ in which `optimum` looks (one hyperparameter)."""

    @abstractmethod
    def train_hess_vv(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... k"]) -> Float[ndarray, "... k k"]:
        """∂²L_T/∂v², the paper's H_y."""

    @abstractmethod
    def train_hess_vlam(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... k"]) -> Float[ndarray, "... k h"]:
        """∂²L_T/∂v∂λ."""

    def train_hess_vec(
        self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... k"], dv: Float[ndarray, "... k"]
    ) -> Float[ndarray, "... k"]:
        """∂²L_T/∂v² Δv; overridden where the product needs no matrix."""
        return np.matvec(self.train_hess_vv(lam, v), dv)

    @abstractmethod
    def valid_loss_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... k"]) -> Scalars:
        """L_V(λ, v)."""

    @abstractmethod
    def valid_grad_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... k"]) -> Float[ndarray, "... k"]:
        """∂L_V/∂v."""

    @abstractmethod
    def valid_hess_vv(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... k"]) -> Float[ndarray, "... k k"]:
        """∂²L_V/∂v²."""

    @abstractmethod
    def best_response(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... m"]:
        """r(λ) = argmin_w L_T(λ, w)."""

    def gauss_newton(self, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"]) -> Float[ndarray, "... m m"]:
        """Eqn. 3.2: G_w = J_vwᵀ H_v J_vw."""
        return self.f.pull_back(w, self.train_hess_vv(lam, self.f(w)))

    def hess_ww(self, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"]) -> Float[ndarray, "... m m"]:
        """∂²L_T/∂w² = G_w + Σ_i (∂L_T/∂v_i) ∂²v_i/∂w²."""
        return self.gauss_newton(lam, w) + self.f.curvature(w, self.train_grad_v(lam, self.f(w)))

    def hess_wlam(self, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"]) -> Float[ndarray, "... m h"]:
        """∂²L_T/∂w∂λ = J_vwᵀ ∂²L_T/∂v∂λ."""
        return self.f.jacobian(w).mT @ self.train_hess_vlam(lam, self.f(w))

    def hess_vec(
        self, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"], dw: Float[ndarray, "... m"]
    ) -> Float[ndarray, "... m"]:
        """∂²L_T/∂w² Δw, by products with J_vw."""
        v = self.f(w)
        outputs = self.f.vjp(w, self.train_hess_vec(lam, v, self.f.jvp(w, dw)))
        return outputs + self.f.curvature_vec(w, self.train_grad_v(lam, v), dw)

    def cross_vec(
        self, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"], u: Float[ndarray, "... m"]
    ) -> Float[ndarray, "... h"]:
        """uᵀ ∂²L_T/∂w∂λ, by a product with J_vw."""
        return np.vecmat(self.f.jvp(w, u), self.train_hess_vlam(lam, self.f(w)))

    def valid_loss(self, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"]) -> Scalars:
        """L_V(λ, w)."""
        return self.valid_loss_v(lam, self.f(w))

    def valid_grad_w(self, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        """∂L_V/∂w."""
        return self.f.vjp(w, self.valid_grad_v(lam, self.f(w)))

    def valid_grad_lam(self, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"]) -> Float[ndarray, "... h"]:
        """Eqn. 2.4's direct gradient ∂L_V/∂λ: 0 where only the training loss is regularised."""
        return np.zeros_like(lam)

    def best_response_jacobian(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... m h"]:
        """Eqn. 2.3: ∂r/∂λ = -(∂²L_T/∂w²)⁻¹ ∂²L_T/∂w∂λ, both at (λ, r(λ))."""
        r = self.best_response(lam)
        return -to_eight_digits(self.hess_ww(lam, r), self.hess_wlam(lam, r))

    def best_output(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... k"]:
        """v*(λ) = f(r(λ))."""
        return self.f(self.best_response(lam))

    def best_output_jacobian(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... k h"]:
        """dv*/dλ = J_vw ∂r/∂λ, in which the Jacobians of problems with many best responses are compared."""
        return self.f.jacobian(self.best_response(lam)) @ self.best_response_jacobian(lam)

    def hypergradient(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... h"]:
        """Eqn. 2.4: dL_V/dλ = ∂L_V/∂λ + (∂r/∂λ)ᵀ ∂L_V/∂w, all at (λ, r(λ))."""
        r = self.best_response(lam)
        response_gradient = np.vecmat(self.valid_grad_w(lam, r), self.best_response_jacobian(lam))
        return self.valid_grad_lam(lam, r) + response_gradient

    def outer_loss(self, lam: Float[ndarray, "... h"]) -> Scalars:
        """Eqn. 2.2: L_V(λ, r(λ)), the bilevel problem as one of a single level."""
        return self.valid_loss(lam, self.best_response(lam))

    def regret(self, lam: Float[ndarray, "... h"], optimum: Optimum) -> Float[ndarray, "..."]:
        """L_V(r(λ)) / L_V(r(λ*)) - 1: what is lost by λ, at its own best response.

        A difference that rounding could have made is 0; a least loss below its rounding, as where the validation rows
        are predicted perfectly, counts as that: no smaller loss could be told from it.
        """
        difference = self.outer_loss(lam) - optimum.loss_star
        least = np.where(np.abs(optimum.loss_star) > optimum.rounding, optimum.loss_star, optimum.rounding)
        with np.errstate(divide="ignore", invalid="ignore"):  # of losses that are exactly 0
            return np.where(np.abs(difference) > optimum.rounding, difference / least, 0.0)

    def optimum(self) -> Optimum:
        """λ*, the minimiser of Eqn. 2.2, for one hyperparameter within `bounds`."""
        return self.optimum_at(*bounded_optimum(self.outer_loss, self.hypergradient, self.bounds))

    def optimum_at(self, lam_star: Float[ndarray, "... h"], where: Shaped[ndarray, "..."]) -> Optimum:
        """The optimum whose place is known."""
        r = self.best_response(lam_star)
        loss_star = np.asarray(self.valid_loss(lam_star, r))
        return Optimum(lam_star, loss_star, where, np.asarray(self.valid_rounding_v(lam_star, self.f(r))))

    def valid_rounding_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... k"]) -> Scalars:
        """What rounding leaves uncertain of L_V at a best response."""
        return 1e-14 * np.abs(self.valid_loss_v(lam, v))
