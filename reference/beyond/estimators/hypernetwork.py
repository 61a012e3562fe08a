"""Alg. 1 and 2 at a λ that is held: w0 and Θ trained for as many steps as the budget buys, then Eqn. 2.4 with Θ.

name      symbol    shape     meaning
method    -         -         STN, Centered STN, Δ-STN, or with the control variate: a row of switches
sigma     σ         ()        perturbation scale of every hyperparameter
alpha1    α_1       ()        step size of w0 and Θ
Theta     Θ         (m, h)    full response, from 0

What a step costs on b of n rows, in units of b/n: the perturbed gradient 1; w0's own gradient (Eqn. 3.9), where it has
one, 1. Linearised, the perturbed gradient is a pass, its tangent and a reverse, 4/3, or 1 where w0 has not moved since
its own gradient, so that one pass through the network serves both (the control variate). That is what the algorithm
pays which does not know its network: on a linear model, where Δ-STN is Centered STN, it pays 1/3 more. Θε and Θ's
update are 2mh operations each. w0 starts from the weights given; so does STN's offset, with Φ = 0.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.beyond.control_variate.updates import extended, inner_step
from reference.beyond.estimators.estimator import Estimator
from reference.beyond.estimators.price import Inner, affordable
from reference.rule.hypernet import FullResponse
from reference.rule.updates import Method, State, learned_hypergradient

PASSES = 4 / 3
"""J_vw Δw and J_vwᵀ g at weights where nothing is known yet: a pass, its tangent, and a reverse of two passes."""


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
        moved = self.method.linearised and not extended(self.method).control_variate
        return self.method.unperturbed + (PASSES if moved else 1.0)

    def prices(self, inner: Inner, h: int) -> tuple[float, float]:
        """Of a step, and of the hypergradient from a Θ that is trained: ∂L_V/∂w and a product with Θ."""
        product = 2 * inner.m * h / (4 * inner.n * inner.m)
        return self.gradients() * inner.share + 2 * product, 1.0 + product

    def start(self, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"]) -> State:
        """The weights given, and a response of 0."""
        return State(lam, np.full_like(lam, self.sigma), w, FullResponse(np.zeros((*w.shape, lam.shape[-1]))))

    def train(self, inner: Inner, state: State, steps: int) -> State:
        """So many steps of Alg. 1 or 2 at the state's λ."""
        for _ in range(steps):
            train = inner.draw().problem
            eps = self.sigma * inner.rng.standard_normal(state.lam.shape)
            state = inner_step(self.method, state, eps, train, train, self.alpha1)
        return state

    def hypergradient(
        self, inner: Inner, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"], budget: float
    ) -> Float[ndarray, "... h"]:
        step, last = self.prices(inner, lam.shape[-1])
        steps = affordable(budget, last, step)
        inner.price += steps * step + last
        return learned_hypergradient(self.method, self.trained(inner, lam, w, steps), inner.problem)

    def trained(self, inner: Inner, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"], steps: int) -> State:
        """The state at λ whose response is asked, `steps` steps for each λ that it was trained at."""
        return self.train(inner, self.start(lam, w), steps)


@dataclass(frozen=True)
class CarriedOver(Hypernetwork):
    """As Alg. 1 uses it: Θ and w0 carried over from one λ to the next; the budget and the price are of one update of λ.

    λ is the last of `updates` points, `move` apart in every coordinate, each coordinate in one direction drawn; at each
    of them as many steps are made as the budget buys.
    """

    updates: int
    move: float

    @property
    def name(self) -> str:
        return f"{super().name}, carried over"

    def trained(self, inner: Inner, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"], steps: int) -> State:
        """The state after all updates of λ."""
        move = self.move * inner.rng.choice([-1.0, 1.0], lam.shape)
        state = self.start(lam, w)
        for left in range(self.updates - 1, -1, -1):
            state = self.train(inner, replace(state, lam=lam - left * move), steps)
        return state
