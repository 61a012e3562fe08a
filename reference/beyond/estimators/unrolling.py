"""The hypergradient of what training gives: L_V(λ, w_K(λ)), w_{k+1} = w_k - α ∂L_T/∂w(λ, w_k), differentiated exactly.

name      symbol      shape     meaning
w         w_k         (m,)      weights after k steps from the w given, which does not depend on λ
Z         dw_k/dλ     (m, h)    forward: Z ← Z - α(HZ + B)
a         dL_V/dw_k   (m,)      reverse: a ← a - αHa, the hypergradient gathering -αaᵀB
T         T           ()        only the last T steps are differentiated (Shaban et al. 2019); all, if None

On a quadratic dw_K/dλ = -α Σ_{k<T} (I - αH)^k B. Both modes give the same number: forward mode pays for h products a
step and keeps one Z, reverse mode pays for one and keeps the weights of T steps.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.beyond.estimators.estimator import Estimator
from reference.beyond.estimators.price import PRODUCT, Batch, Inner, affordable

Trajectory = list[tuple[Batch, Float[ndarray, "m"]]]


@dataclass(frozen=True)
class Unrolling(Estimator):
    """What both modes share.

    Args:
        alpha: α, the step size of gradient descent.
        last: T; steps before the last T count as if λ had no part in them.
    """

    alpha: float
    last: int | None = None

    def steps(self, budget: float, step: float, derivative: float) -> tuple[int, int]:
        """K and min(K, T): how many steps a budget buys, at these prices of a step and of its derivative."""
        every = affordable(budget, 1.0, step + derivative)
        if self.last is None or every < self.last:
            return every, every
        return self.last + affordable(budget, 1.0 + self.last * (step + derivative), step), self.last

    def descend(
        self, inner: Inner, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], steps: int
    ) -> tuple[Trajectory, Float[ndarray, "m"]]:
        """Each step's batch and the weights before it; the weights after the last."""
        trajectory: Trajectory = []
        for _ in range(steps):
            batch = inner.draw()
            trajectory.append((batch, w))
            w = w - self.alpha * batch.grad_w(lam, w)
        return trajectory, w


class ReverseUnrolling(Unrolling):
    """Backwards over the last T steps."""

    @property
    def name(self) -> str:
        return "unrolling" if self.last is None else "truncated unrolling"

    def hypergradient(
        self, inner: Inner, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], budget: float
    ) -> Float[ndarray, "h"]:
        K, T = self.steps(budget, inner.share, PRODUCT * inner.share)
        trajectory, w = self.descend(inner, lam, w, K)
        a, total = inner.valid_grad_w(lam, w), inner.problem.valid_grad_lam(lam, w)
        for batch, before in reversed(trajectory[K - T :]):
            Ha, Ba = batch.both(lam, before, a)
            a, total = a - self.alpha * Ha, total - self.alpha * Ba
        return total


class ForwardUnrolling(Unrolling):
    """Along with the last T steps."""

    @property
    def name(self) -> str:
        return "forward unrolling" if self.last is None else "truncated forward unrolling"

    def hypergradient(
        self, inner: Inner, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], budget: float
    ) -> Float[ndarray, "h"]:
        K, T = self.steps(budget, inner.share, PRODUCT * inner.share * len(lam))
        trajectory, w = self.descend(inner, lam, w, K)
        Z = np.zeros((len(w), len(lam)))
        for batch, before in trajectory[K - T :]:
            Z = Z - self.alpha * batch.tangent(lam, before, Z)
        return inner.problem.valid_grad_lam(lam, w) + inner.valid_grad_w(lam, w) @ Z
