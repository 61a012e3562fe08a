"""Algorithms 1 and 2: one update rule with three switches, for STN, Reparam STN, Centered STN and Δ-STN.

    name        symbol        shape
    lam, sigma  λ, σ          (..., h)
    w0          w0 (or φ0)    (..., m)      current weights; for STN the offset of Eqn. 2.6
    response    Θ (or Φ)      a Response    how the weights follow λ
    eps         ε             (..., h)      the perturbation, drawn by the caller
    c           ε or λ + ε    (..., h)      what the response multiplies

Alg. 1, until λ settles; r_θ(λ+ε, λ) = w0 + Θε (3.1):                             below
    T_train times, with ε ~ N(0, diag(σ²)) and a mini-batch:
        w0 ← w0 - α_1 ∇_w0 L_T(λ, r_θ(λ, λ))                                      algorithm_1
        Θ  ← Θ  - α_1 ∇_Θ L_T(λ+ε, r_θ(λ+ε, λ)), linearised at w0                 algorithm_1
    T_valid times, with ε ~ N(0, diag(σ²)):
        λ  ← λ  - α_2 ∇_λ L_V(λ+ε, r_θ(λ+ε, λ0)) at λ0 = λ                        outer_gradients
        σ  ← σ  - α_3 ∇_σ (L_V(λ+ε, r_θ(λ+ε, λ)) - τ H[N(0, diag(σ²))])           outer_gradients

Alg. 2 is the same with r_φ(λ+ε) = φ0 + Φ(λ+ε) (2.6) in place of r_θ, and with one line for φ0 and Φ (`algorithm_2`):
        φ  ← φ  - α_1 ∇_φ L_T(λ+ε, r_φ(λ+ε))
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.bilevel.objective import TrainingObjective
from reference.bilevel.problem import Problem
from reference.rule.hypernet import Response


@dataclass(frozen=True)
class Method:
    """Which of section 3's changes are made.

    Args:
        centred: the response multiplies ε = λ - λ0 (Eqn. 3.1), not λ (Eqn. 2.6).
        unperturbed: w0 descends the loss at ε = 0 (Eqn. 3.9), not at ε (Eqn. 2.5).
        linearised: Θ sees the network linearised at w0 (Eqn. 3.13).
    """

    name: str
    centred: bool
    unperturbed: bool
    linearised: bool

    def __post_init__(self) -> None:
        if (self.unperturbed or self.linearised) and not self.centred:
            raise ValueError("w0 is the current weights only in the centred form: no switch without `centred`")

    @property
    def short(self) -> str:
        """The name where there is little room."""
        return self.name

    @property
    def slug(self) -> str:
        """The name on a command line and in paths, as `delta-stn`."""
        return self.short.replace("Δ", "delta").replace(" ", "-").lower()


STN = Method("STN", centred=False, unperturbed=False, linearised=False)
REPARAM_STN = Method("Reparam STN", centred=True, unperturbed=False, linearised=False)
CENTERED_STN = Method("Centered STN", centred=True, unperturbed=True, linearised=False)
DELTA_STN = Method("Δ-STN", centred=True, unperturbed=True, linearised=True)
METHODS = (STN, REPARAM_STN, CENTERED_STN, DELTA_STN)


@dataclass(frozen=True)
class State:
    """Everything that the algorithms update."""

    lam: Float[ndarray, "... h"]
    sigma: Float[ndarray, "... h"]
    w0: Float[ndarray, "... m"]
    response: Response

    def weights(self, method: Method) -> Float[ndarray, "... m"]:
        """The current weights: r_θ(λ, λ) = w0, or r_φ(λ) = Φλ + φ0."""
        return self.w0 if method.centred else self.w0 + self.response.apply(self.lam)


def response_input(
    method: Method, lam: Float[ndarray, "... h"], eps: Float[ndarray, "... h"]
) -> Float[ndarray, "... h"]:
    """c = ε (Eqn. 3.1) or λ + ε (Eqn. 2.6)."""
    return eps if method.centred else lam + eps


def perturbed_gradient(
    method: Method,
    train: TrainingObjective,
    lam: Float[ndarray, "... h"],
    w0: Float[ndarray, "... m"],
    dw: Float[ndarray, "... m"],
) -> Float[ndarray, "... m"]:
    """∇_Δw of L_T(λ, w0 + Δw), or of L_T(λ, f(w0) + J_vw Δw) where linearised (Eqn. 3.13)."""
    if not method.linearised:
        return train.grad_w(lam, w0 + dw)
    v = train.f(w0) + train.f.jvp(w0, dw)
    return train.f.vjp(w0, train.train_grad_v(lam, v))


def algorithm_1(
    method: Method,
    state: State,
    eps: Float[ndarray, "... h"],
    train: TrainingObjective,
    train_perturbed: TrainingObjective,
    alpha1: float,
) -> State:
    """Alg. 1's inner iteration: w0's line (Eqn. 3.9), then Θ's at the new w0 (Eqn. 3.10, linearised 3.13).

    Linearised it is Δ-STN's, else Centered STN's.
    """
    lam, w0, Theta = state.lam, state.w0, state.response
    w0 = w0 - alpha1 * train.grad_w(lam, w0)  # Eqn. 3.9
    g = perturbed_gradient(method, train_perturbed, lam + eps, w0, Theta.apply(eps))
    Theta = Theta.minus(alpha1, Theta.gradient(eps, g))  # Eqn. 3.10: ∇_Θ = g εᵀ
    return State(lam, state.sigma, w0, Theta)


def algorithm_2(
    method: Method,
    state: State,
    eps: Float[ndarray, "... h"],
    train_perturbed: TrainingObjective,
    alpha1: float,
) -> State:
    """Alg. 2's inner iteration, Eqn. 2.5 for φ0 and Φ at once; Reparam STN's with c = ε, so that φ0 is w0."""
    lam, phi0, Phi = state.lam, state.w0, state.response
    c = response_input(method, lam, eps)
    g = perturbed_gradient(method, train_perturbed, lam + eps, phi0, Phi.apply(c))
    return State(lam, state.sigma, phi0 - alpha1 * g, Phi.minus(alpha1, Phi.gradient(c, g)))


def inner_step(
    method: Method,
    state: State,
    eps: Float[ndarray, "... h"],
    train: TrainingObjective,
    train_perturbed: TrainingObjective,
    alpha1: float,
) -> State:
    """One inner iteration of the method's algorithm.

    Args:
        train: the mini-batch for w0's own step (Eqn. 3.9); unused where w0 is perturbed.
        train_perturbed: the same mini-batch, with masks of its own, for the perturbed step (Eqn. 3.10, 2.5).
        alpha1: α_1, the learning rate of both.
    """
    if method.unperturbed:
        return algorithm_1(method, state, eps, train, train_perturbed, alpha1)
    return algorithm_2(method, state, eps, train_perturbed, alpha1)


def outer_gradients(
    method: Method, state: State, eps: Float[ndarray, "... h"], problem: Problem, tau: float = 0.0
) -> tuple[Float[ndarray, "... h"], Float[ndarray, "... h"]]:
    """Gradients of Eqn. 2.7 in λ and σ at one ε, the network at the perturbed weights themselves.

    With w = w0 + Θc: ∇_λ = ∂L_V/∂λ + Θᵀ ∂L_V/∂w (Eqn. 2.4), and since ε = σz, ∇_σ = z ⊙ ∇_λ - τ/σ.
    """
    w = state.w0 + state.response.apply(response_input(method, state.lam, eps))
    lam = state.lam + eps
    g_lam = problem.valid_grad_lam(lam, w) + state.response.adjoint(problem.valid_grad_w(lam, w))
    return g_lam, eps / state.sigma * g_lam - tau / state.sigma


def learned_hypergradient(method: Method, state: State, problem: Problem) -> Float[ndarray, "... h"]:
    """Eqn. 2.4 with the learned response in place of the exact one, at ε = 0."""
    return outer_gradients(method, state, np.zeros_like(state.lam), problem)[0]
