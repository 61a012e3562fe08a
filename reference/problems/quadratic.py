"""Eqn. C.9: L(λ, w) = ½ wᵀAw + wᵀBλ + ½ λᵀCλ + dᵀw + eᵀλ + c: Theorem 3's training loss, any h.

name   symbol   shape           name   symbol   shape
A      A        (..., m, m)     d      d        (..., m)
B      B        (..., m, h)     e      e        (..., h)
C      C        (..., h, h)     c      c        (...)

A and C are symmetric.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.bilevel.objective import Scalars, real
from reference.bilevel.optimum import Optimum
from reference.bilevel.problem import Problem
from reference.numerics.elimination import to_eight_digits


@dataclass(frozen=True)
class Quadratic:
    """Eqn. C.9, one quadratic function of (λ, w). A number that is not finite is a ValueError."""

    A: Float[ndarray, "... m m"]
    B: Float[ndarray, "... m h"]
    C: Float[ndarray, "... h h"]
    d: Float[ndarray, "... m"]
    e: Float[ndarray, "... h"]
    c: Scalars

    def __post_init__(self) -> None:
        for name in ("A", "B", "C", "d", "e", "c"):
            object.__setattr__(self, name, real(name, np.asarray(getattr(self, name))))

    def __call__(self, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"]) -> Scalars:
        """Its value."""
        quadratic = np.vecdot(w, np.matvec(self.A, w)) / 2 + np.vecdot(lam, np.matvec(self.C, lam)) / 2
        return quadratic + np.vecdot(w, np.matvec(self.B, lam) + self.d) + np.vecdot(self.e, lam) + self.c

    def grad_w(self, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        """Aw + Bλ + d."""
        return np.matvec(self.A, w) + np.matvec(self.B, lam) + self.d

    def grad_lam(self, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"]) -> Float[ndarray, "... h"]:
        """Bᵀw + Cλ + e."""
        return np.vecmat(w, self.B) + np.matvec(self.C, lam) + self.e


@dataclass(frozen=True)
class QuadraticProblem(Problem):
    """Eqn. 1.1 with both losses quadratic; the validation loss may depend on λ directly.

    Example, L_T = ½w² - wλ, so r(λ) = λ, and L_V = ½(w - 3)² up to a constant, so λ* = 3:
        >>> ones, zero = np.ones((1, 1)), np.zeros((1, 1))
        >>> train = Quadratic(ones, -ones, zero, zero[0], zero[0], np.float64(0))
        >>> valid = Quadratic(ones, zero, zero, np.array([-3.0]), zero[0], np.float64(0))
        >>> QuadraticProblem(train, valid).optimum().lam_star
        array([3.])
    """

    train: Quadratic
    valid: Quadratic

    def train_loss_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Scalars:
        return self.train(lam, v)

    def train_grad_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        return self.train.grad_w(lam, v)

    def train_hess_vv(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m m"]:
        return self.train.A

    def train_hess_vlam(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m h"]:
        return self.train.B

    def valid_loss_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Scalars:
        return self.valid(lam, v)

    def valid_grad_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        return self.valid.grad_w(lam, v)

    def valid_hess_vv(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m m"]:
        return self.valid.A

    def valid_grad_lam(self, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"]) -> Float[ndarray, "... h"]:
        return self.valid.grad_lam(lam, w)

    def best_response(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... m"]:
        """Eqn. C.11: r(λ) = -A⁻¹ (Bλ + d)."""
        return -to_eight_digits(self.train.A, (np.matvec(self.train.B, lam) + self.train.d)[..., None])[..., 0]

    def best_response_jacobian(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... m h"]:
        """Eqn. C.12: -A⁻¹B, at every λ."""
        J = -to_eight_digits(self.train.A, self.train.B)
        return np.broadcast_to(J, (*np.broadcast_shapes(lam.shape[:-1], J.shape[:-2]), *J.shape[-2:]))

    def optimum(self) -> Optimum:
        """The zero of the hypergradient, which is affine in λ: dL_V/dλ = g + Hλ.

        Raises:
            ValueError: H is not positive definite: the outer problem has no unique minimum.
        """
        h = self.train.B.shape[-1]
        g = self.hypergradient(np.zeros(h))
        H = self.hypergradient(np.eye(h)[(..., *[None] * (g.ndim - 1), slice(None))]) - g
        H = np.moveaxis(H, 0, -1)
        if np.linalg.eigvalsh((H + H.mT) / 2).min() <= 0:
            raise ValueError("the outer loss is not strictly convex in λ: no unique optimum")
        lam_star = -to_eight_digits(H, g[..., None])[..., 0]
        return self.optimum_at(lam_star, np.full(g.shape[:-1], "interior"))
