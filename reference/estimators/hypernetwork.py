"""Alg. 1 and 2 at a λ that is held: w0 and Θ trained for as many steps as the budget buys, then Eqn. 2.4 with Θ.

name      symbol    shape     meaning
method    -         -         STN, Centered STN, Δ-STN, or with the control variate: a row of switches
sigma     σ         ()        perturbation scale of every hyperparameter
alpha1    α_1       ()        step size of w0 and Θ
Theta     Θ         (m, h)    full response, from 0

What a step costs on b of n rows, in units of b/n: the perturbed gradient 1; w0's own gradient (Eqn. 3.9), where it has
one, 1. Linearised, the perturbed gradient is a product with J_vw and one with its transpose, 4/3, or 1 where w0 has
not moved since its own gradient, so that one pass through the network serves both (the control variate). Θε and Θ's
update are 2mh operations each. w0 starts from the weights given; so does STN's offset, with Φ = 0.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.estimators.estimator import Estimator
from reference.estimators.price import Inner, affordable
from reference.hypernet import FullResponse
from reference.updates import Method, State, inner_step, learned_hypergradient

PASSES = 4 / 3
"""J_vw Δw and J_vwᵀ g at weights where nothing is known yet: two passes of a gradient's three each."""


@dataclass(frozen=True)
class Hypernetwork(Estimator):
    """A learned response; ε is drawn for each step, and for each replicate where λ and w have leading axes."""

    method: Method
    sigma: float
    alpha1: float

    @property
    def name(self) -> str:
        return self.method.name

    def gradients(self) -> float:
        """What a step's gradients cost, in gradients of one mini-batch."""
        moved = self.method.linearised and not self.method.control_variate
        return self.method.unperturbed + (PASSES if moved else 1.0)

    def hypergradient(
        self, inner: Inner, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"], budget: float
    ) -> Float[ndarray, "... h"]:
        m, h = w.shape[-1], lam.shape[-1]
        product = 2 * m * h / (4 * inner.n * m)
        step = self.gradients() * inner.share + 2 * product
        state = State(lam, np.full_like(lam, self.sigma), w, FullResponse(np.zeros((*w.shape, h))))
        for _ in range(affordable(budget, 1.0 + product, step)):
            inner.price += step
            train = inner.draw().problem
            eps = self.sigma * inner.rng.standard_normal(lam.shape)
            state = inner_step(self.method, state, eps, train, train, self.alpha1)
        inner.price += 1.0 + product
        return learned_hypergradient(self.method, state, inner.problem)
