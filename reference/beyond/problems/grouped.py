"""L_T(λ, w) = (1/2n) (‖Xw - t‖² + Σ_j exp(λ_g(j)) d_j w_j²): beyond the paper, H.1 and H.2 with many hyperparameters.

    name      symbol    shape       meaning
    lam       λ         (..., h)    unconstrained: logarithms of penalties, or logits of drop rates
    group     g         m indices   the hyperparameter that each feature obeys; h of them, each by some feature
    d         d         (..., m)    the metric: n/divisor (penalties), or D = diag(XᵀX) (drop rates)
    K         K         (..., m, m) A + diag(exp(λ_g) d), so that r(λ) = K⁻¹ Xᵀt

One hyperparameter for all features is Ridge or InputDropout; one for each is h = m. The Jacobian is sparse before the
solve: column i of n ∂²L_T/∂w∂λ is exp(λ_i) d ⊙ r on the features of group i, and 0 elsewhere.
"""

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from reference.beyond.problems.multistart import multistart
from reference.bilevel.objective import Scalars
from reference.bilevel.optimum import Optimum
from reference.numerics.normal_equations import NormalEquations
from reference.problems.dropout import MaskedRegression
from reference.problems.regression import Regression

Self = TypeVar("Self", bound="GroupedRegression")


@dataclass(frozen=True)
class GroupedRegression(Regression):
    """Linear regression whose penalty is diagonal, with one hyperparameter for each group of features.

    Args:
        group: g(j) of every feature j, as integers 0, ..., h - 1; all of them occur.

    Raises:
        ValueError: `group` does not have one entry for each feature, or leaves out a number.
    """

    group: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.group) != self.X.shape[-1]:
            raise ValueError(f"group has {len(self.group)} entries, for {self.X.shape[-1]} features")
        if set(self.group) != set(range(self.h)):
            raise ValueError("group must hold every integer from 0 to its largest")

    @property
    def h(self) -> int:
        """Number of hyperparameters."""
        return max(self.group) + 1

    @cached_property
    def membership(self) -> Float[ndarray, "m h"]:
        """1 where feature j obeys hyperparameter i."""
        return np.eye(self.h)[self.index]

    @cached_property
    def index(self) -> Int[ndarray, "m"]:
        """g as an array: an index that is not made anew at each step of a training run."""
        return np.array(self.group)

    @property
    @abstractmethod
    def d(self) -> Float[ndarray, "... m"]:
        """What e^λ multiplies in n ∂²L_T/∂w²."""

    def weight(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... m"]:
        """exp(λ_g(j)) d_j, which is its own derivative in λ_g(j)."""
        with np.errstate(over="ignore"):  # refused where it matters
            return np.exp(np.asarray(lam, dtype=float))[..., self.index] * self.d

    def K(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... m m"]:
        """n ∂²L_T/∂w²."""
        return self.A + self.weight(lam)[..., None] * np.eye(self.X.shape[-1])

    def equations(self, lam: Float[ndarray, "... h"]) -> NormalEquations:
        """(A + diag(exp(λ_g) d)) x = b.

        Raises:
            ValueError: λ is not finite, exp(λ) underflows, or a feature's d is 0.
        """
        return NormalEquations(self.gram, self.weight(lam))

    def best_response(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... m"]:
        """r(λ) = K⁻¹ Xᵀt. Raises as `equations` does."""
        return self.equations(lam).fit(np.ones(1))

    def best_response_jacobian(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... m h"]:
        """Eqn. 2.3: -K⁻¹ n ∂²L_T/∂w∂λ. Raises as `equations` does."""
        return self._response(lam)[1]

    def hypergradient(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... h"]:
        """Eqn. 2.4, both of its factors from one decomposition."""
        r, jacobian = self._response(lam)
        return np.vecmat(self.valid_grad_w(lam, r), jacobian)

    def _response(self, lam: ndarray) -> tuple[ndarray, ndarray]:
        equations, unit = self.equations(lam), np.ones(1)
        return equations.fit(unit), equations.slopes(unit, self.membership)

    def train_loss_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Scalars:
        residual = np.matvec(self.X, v) - self.t
        return (np.sum(residual**2, axis=-1) + np.sum(self.weight(lam) * v**2, axis=-1)) / (2 * self.n)

    def train_grad_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        """(Xᵀ(Xv - t) + exp(λ_g) d ⊙ v) / n."""
        residual = np.matvec(self.X, v) - self.t
        return (np.vecmat(residual, self.X) + self.weight(lam) * v) / self.n

    def train_hess_vv(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m m"]:
        """K / n."""
        return self.K(lam) / self.n

    def train_hess_vec(
        self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"], dv: Float[ndarray, "... m"]
    ) -> Float[ndarray, "... m"]:
        """(XᵀXΔv + exp(λ_g) d ⊙ Δv) / n."""
        return (np.vecmat(np.matvec(self.X, dv), self.X) + self.weight(lam) * dv) / self.n

    def train_hess_vlam(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m h"]:
        """exp(λ_i) d ⊙ v / n on the features of group i."""
        return (self.weight(lam) * v)[..., None] * self.membership / self.n

    def optimum(self) -> Optimum:
        """The best λ found within the box `bounds` in every coordinate, replicate by replicate; for h = 1 the exact λ*.

        For h > 1 the outer loss is not convex: the answer comes from `multistart`, and is not proved.
        """
        if self.h == 1:
            return super().optimum()
        lead = self.X.shape[:-2]
        answers = [multistart(self._replicate(index).outer, self.h, self.bounds) for index in np.ndindex(lead)]
        lam_star, where = (np.array(part) for part in zip(*answers, strict=True))
        return self.optimum_at(lam_star.reshape(*lead, self.h), where.reshape(lead))

    def outer(self, lam: Float[ndarray, "h"]) -> tuple[float, Float[ndarray, "h"]]:
        """`outer_loss` and `hypergradient` of one replicate, from one decomposition."""
        r, jacobian = self._response(lam)
        return float(self.valid_loss(lam, r)), np.vecmat(self.valid_grad_w(lam, r), jacobian)

    def _replicate(self: Self, index: tuple[int, ...]) -> Self:
        cut = {name: getattr(self, name)[index] for name in ("X", "t", "X_valid", "t_valid")}
        return replace(self, **cut)


@dataclass(frozen=True)
class GroupedPenalties(GroupedRegression):
    """A ridge penalty exp(λ_i) for each group of features. A mini-batch (`rows`) keeps the penalty's divisor, as H.1's.

    Example, with A = I, Xᵀt = (2, 6) and penalties 1 and 2 on the two features, r = (2/2, 6/3):
        >>> eye, t = np.eye(2), np.array([2.0, 6.0])
        >>> problem = GroupedPenalties(eye, t, eye, np.zeros(2), group=(0, 1), divisor=2.0)
        >>> lam = np.log([1.0, 2.0])
        >>> problem.best_response(lam).round(9)
        array([1., 2.])
        >>> np.diag(problem.best_response_jacobian(lam)).round(4)  # -exp(λ_i) r_i / K_ii; 0 elsewhere
        array([-0.5   , -1.3333])
    """

    divisor: float

    @cached_property
    def d(self) -> Float[ndarray, "... m"]:  # type: ignore[override]
        return np.full(self.X.shape[-1], self.n / self.divisor)


@dataclass(frozen=True)
class GroupedRates(GroupedRegression):
    """Input dropout at a rate p_i for each group of features, λ_i = logit p_i, with inverted scaling; in expectation.

    A feature that is 0 in every training row has no best weight: a ValueError.

    Example, rates 1/2 and 2/3, whose odds p/q are 1 and 2, so that K = diag(1 + 1, 1 + 2):
        >>> eye, t = np.eye(2), np.array([2.0, 6.0])
        >>> GroupedRates(eye, t, eye, t, group=(0, 1)).best_response(np.log([1.0, 2.0])).round(9)
        array([1., 2.])
    """

    @cached_property
    def D(self) -> Float[ndarray, "... m"]:
        """diag(XᵀX)."""
        return np.sum(self.X**2, axis=-2)

    @property
    def d(self) -> Float[ndarray, "... m"]:
        return self.D

    def masked(self, rows: Int[ndarray, "... b"], uniforms: Float[ndarray, "... b m"]) -> "MaskedRates":
        """Eqn. H.2 itself on a mini-batch, each input dropped at its own rate."""
        batch = self.rows(rows)
        return MaskedRates(batch.X, batch.t, uniforms, group=self.group)


@dataclass(frozen=True)
class MaskedRates(MaskedRegression):
    """Eqn. H.2 with its masks drawn and a rate for each group: an unbiased sample of GroupedRates."""

    group: tuple[int, ...] = ()

    def inputs(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... b m"]:
        """R ⊙ X / q, column by column at that column's rate."""
        return super().inputs(lam[..., list(self.group)])
