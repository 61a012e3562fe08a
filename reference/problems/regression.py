"""Eqn. H.3: linear regression's data and validation loss, (1/2v) ‖X_valid w - t_valid‖², shared by H.1, H.2 and H.4.

name      symbol      shape
X, t      X, t        (..., n, m), (..., n)
X_valid   X_valid     (..., v, m)
t_valid   t_valid     (..., v)
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from reference.bilevel.objective import Scalars, minibatch, real, unchecked
from reference.bilevel.problem import Problem
from reference.numerics.elimination import Gram

Self = TypeVar("Self", bound="Regression")

DATA = ("X", "t", "X_valid", "t_valid")


@dataclass(frozen=True)
class Regression(Problem):
    """Training and validation data of a linear model, and the validation loss on them.

    The arrays may be of any real type; they are kept in float64.

    Raises:
        ValueError: the rows or columns of the four arrays do not go together, there are none, or a number is not
            finite, or not real.
    """

    X: Float[ndarray, "... n m"]
    t: Float[ndarray, "... n"]
    X_valid: Float[ndarray, "... v m"]
    t_valid: Float[ndarray, "... v"]

    def __post_init__(self) -> None:
        for name in DATA:
            object.__setattr__(self, name, real(name, getattr(self, name)))
        if self.X.shape[:-1] != self.t.shape or self.X_valid.shape[:-1] != self.t_valid.shape:
            raise ValueError("X and t, or X_valid and t_valid, differ in their rows")
        if self.X.shape[-1] != self.X_valid.shape[-1]:
            raise ValueError("X and X_valid differ in their columns")
        if 0 in self.X.shape or 0 in self.X_valid.shape:
            raise ValueError("a training or validation set is empty")

    @property
    def n(self) -> int:
        """Rows of the training data."""
        return self.X.shape[-2]

    @cached_property
    def A(self) -> Float[ndarray, "... m m"]:
        """A = XᵀX."""
        return self.X.mT @ self.X

    @cached_property
    def Xt(self) -> Float[ndarray, "... m"]:
        """Xᵀt."""
        return np.vecmat(self.t, self.X)

    @cached_property
    def gram(self) -> Gram:
        """XᵀX and Xᵀt for the solvers."""
        return Gram(self.X, self.t)

    def rows(self: Self, rows: Int[ndarray, "... b"]) -> Self:
        """The same problem with its training data cut to a mini-batch; the replicates have rows of their own."""
        X, t = minibatch(self.X, self.t, rows)
        return unchecked(self, X=X, t=t)

    def valid_loss_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Scalars:
        """Eqn. H.3."""
        residual = np.matvec(self.X_valid, v) - self.t_valid
        return np.sum(residual**2, axis=-1) / (2 * residual.shape[-1])

    def valid_rounding_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Scalars:
        """That of ‖u + δ‖²/2v, with ‖δ‖ = 10 eps (‖X_valid‖ ‖v‖ + ‖t_valid‖) beside the residual u."""
        rows = self.X_valid.shape[-2]
        u = np.sqrt(2 * rows * self.valid_loss_v(lam, v))
        terms = np.linalg.norm(self.X_valid, axis=(-2, -1)) * np.linalg.norm(v, axis=-1)
        delta = 10 * np.finfo(float).eps * (terms + np.linalg.norm(self.t_valid, axis=-1))
        return (u + delta / 2) * delta / rows

    def valid_grad_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        residual = np.matvec(self.X_valid, v) - self.t_valid
        return np.vecmat(residual, self.X_valid) / residual.shape[-1]

    def valid_hess_vv(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m m"]:
        return self.X_valid.mT @ self.X_valid / self.X_valid.shape[-2]
