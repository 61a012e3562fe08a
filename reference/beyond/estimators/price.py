"""A problem as estimators see it: rows drawn for each use, every use paid for.

name      symbol    shape    meaning
problem   L_T, L_V  -        any problem of `reference`
n, b      n, b      ()       training rows, and those of a mini-batch
share     b/n       ()       price of one gradient on a mini-batch
price     -         ()       gradient-equivalents so far
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.bilevel.problem import Problem

PRODUCT = 2.0
LOSS = 1 / 3


@dataclass
class Inner:
    """A problem with a purse.

    Args:
        batch: rows of a mini-batch, drawn without replacement (the problem then has `n` and `rows`); None for all.
        rng: where rows and perturbations are drawn from.
    """

    problem: Problem
    m: int
    rng: np.random.Generator
    batch: int | None = None
    price: float = field(default=0.0, init=False)

    @property
    def n(self) -> float:
        """Rows of the training set; m/2 for a loss without rows."""
        return float(getattr(self.problem, "n", self.m / 2))

    @property
    def share(self) -> float:
        """The price of one gradient on a mini-batch."""
        return 1.0 if self.batch is None else self.batch / self.n

    def draw(self) -> "Batch":
        """The training loss on fresh rows, or on all of them."""
        if self.batch is None:
            return Batch(self, self.problem)
        drawn: Any = self.problem
        return Batch(self, drawn.rows(self.rng.choice(drawn.n, self.batch, replace=False)))

    def valid_grad_w(self, lam: Float[ndarray, "h"], w: Float[ndarray, "m"]) -> Float[ndarray, "m"]:
        """∂L_V/∂w, on the whole validation set."""
        self.price += 1.0
        return self.problem.valid_grad_w(lam, w)

    def operations(self, count: float) -> None:
        """Pay for algebra with matrices."""
        self.price += count / (4 * self.n * self.m)


@dataclass(frozen=True)
class Batch:
    """The training loss on some rows; every use is paid for by the `inner` that drew them."""

    inner: Inner
    problem: Problem

    def grad_w(self, lam: Float[ndarray, "h"], w: Float[ndarray, "m"]) -> Float[ndarray, "m"]:
        """∂L_T/∂w."""
        self.inner.price += self.inner.share
        return self.problem.grad_w(lam, w)

    def hess_vec(
        self, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], dw: Float[ndarray, "m"]
    ) -> Float[ndarray, "m"]:
        """∂²L_T/∂w² Δw."""
        self.inner.price += PRODUCT * self.inner.share
        return self.problem.hess_vec(lam, w, dw)

    def cross_vec(
        self, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], u: Float[ndarray, "m"]
    ) -> Float[ndarray, "h"]:
        """uᵀ ∂²L_T/∂w∂λ."""
        self.inner.price += PRODUCT * self.inner.share
        return self.problem.cross_vec(lam, w, u)

    def both(
        self, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], u: Float[ndarray, "m"]
    ) -> tuple[Float[ndarray, "m"], Float[ndarray, "h"]]:
        """∂²L_T/∂w² u and uᵀ ∂²L_T/∂w∂λ, which one reverse pass over one forward pass gives together."""
        self.inner.price += PRODUCT * self.inner.share
        return self.problem.hess_vec(lam, w, u), self.problem.cross_vec(lam, w, u)

    def tangent(
        self, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], Z: Float[ndarray, "m h"]
    ) -> Float[ndarray, "m h"]:
        """∂²L_T/∂w² Z + ∂²L_T/∂w∂λ: the gradient's derivative along λ where w follows with slope Z."""
        self.inner.price += PRODUCT * self.inner.share * len(lam)
        v = self.problem.f(w)
        B = self.problem.f.vjp(w, self.problem.train_hess_vlam(lam, v).mT).mT
        return self.problem.hess_vec(lam, w, Z.mT).mT + B


def affordable(budget: float, fixed: float, each: float) -> int:
    """How many things of price `each` a budget buys beside what is `fixed`.

    Example:
        >>> affordable(10.0, 3.0, 2.0), affordable(1.0, 0.1, 0.3), affordable(1.0, 3.0, 2.0)
        (3, 3, 0)
    """
    rounding = 4 * np.finfo(float).eps
    return max(0, int((budget - fixed + rounding * budget) / each * (1 + rounding)))
