"""Algorithms 1 and 2: one update rule with three switches, for STN, Reparam STN, Centered STN and Δ-STN; two beyond.

    name        symbol        shape
    lam, sigma  λ, σ          (..., h)
    w0          w0 (or φ0)    (..., m)      current weights; for STN the offset of Eqn. 2.6
    response    Θ (or Φ)      a Response    how the weights follow λ
    eps         ε             (..., h)      the perturbation, drawn by the caller
    c           ε or λ + ε    (..., h)      what the response multiplies

The inner step (w0, Θ) sees the training loss of one mini-batch; the outer gradients (λ, σ) see the validation loss.
"""

from dataclasses import dataclass, replace

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
        control_variate: beyond the paper: Θ's gradient less ∇L_T(λ, w0) cᵀ, which has mean zero.
        normalised: beyond the paper: Θ's step on column j divided by σ_j², that column's curvature by Observation 1;
            on what serves all columns (the response weights of 3.14) by the mean of σ².
    """

    name: str
    centred: bool
    unperturbed: bool
    linearised: bool
    control_variate: bool = False
    normalised: bool = False

    def __post_init__(self) -> None:
        if (self.unperturbed or self.linearised) and not self.centred:
            raise ValueError("w0 is the current weights only in the centred form: no switch without `centred`")
        if self.control_variate and not self.unperturbed:
            raise ValueError("the control variate is the gradient of Eqn. 3.9: it needs `unperturbed`")
        if self.normalised and not self.centred:
            raise ValueError("column j's curvature is σ_j² times G_w in the centred form only: it needs `centred`")

    @property
    def short(self) -> str:
        """The name where there is little room, as `Δ-STN CV`."""
        return self.name.replace("with control variate", "CV")

    @property
    def slug(self) -> str:
        """The name on a command line and in paths, as `delta-stn` or `delta-stn-cv`."""
        return self.short.replace("Δ", "delta").replace(",", "").replace(" ", "-").lower()


STN = Method("STN", centred=False, unperturbed=False, linearised=False)
REPARAM_STN = Method("Reparam STN", centred=True, unperturbed=False, linearised=False)
CENTERED_STN = Method("Centered STN", centred=True, unperturbed=True, linearised=False)
DELTA_STN = Method("Δ-STN", centred=True, unperturbed=True, linearised=True)
METHODS = (STN, REPARAM_STN, CENTERED_STN, DELTA_STN)

DELTA_STN_CV = replace(DELTA_STN, name="Δ-STN with control variate", control_variate=True)
DELTA_STN_NORMALISED = replace(DELTA_STN, name="Δ-STN, normalised", normalised=True)
DELTA_STN_CV_NORMALISED = replace(DELTA_STN_CV, name="Δ-STN with control variate, normalised", normalised=True)
BEYOND = (DELTA_STN_CV, DELTA_STN_NORMALISED, DELTA_STN_CV_NORMALISED)
"""Not in the paper."""


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


def inner_step(
    method: Method,
    state: State,
    eps: Float[ndarray, "... h"],
    train: TrainingObjective,
    train_perturbed: TrainingObjective,
    alpha1: float,
) -> State:
    """One inner iteration of Alg. 1 (or of Alg. 2, where w0 is perturbed and moves with Θ).

    Args:
        train: the mini-batch for w0's own step (Eqn. 3.9); unused where w0 is perturbed.
        train_perturbed: the same mini-batch, with masks of its own, for the perturbed step (Eqn. 3.10, 2.5).
        alpha1: α_1, the learning rate of both.
    """
    if method.control_variate:
        return _control_variate_step(state, method, eps, train, alpha1)
    w0, c = state.w0, response_input(method, state.lam, eps)
    if method.unperturbed:
        w0 = w0 - alpha1 * train.grad_w(state.lam, w0)
    g = perturbed_gradient(method, train_perturbed, state.lam + eps, w0, state.response.apply(c))
    response = _response_step(method, state, c, g, alpha1)
    if not method.unperturbed:
        w0 = w0 - alpha1 * g
    return State(state.lam, state.sigma, w0, response)


def _control_variate_step(
    state: State, method: Method, eps: Float[ndarray, "... h"], train: TrainingObjective, alpha1: float
) -> State:
    # Both gradients at the same w0 and with the same masks, or the difference would not vanish with ε.
    g0 = train.grad_w(state.lam, state.w0)
    g = perturbed_gradient(method, train, state.lam + eps, state.w0, state.response.apply(eps)) - g0
    response = _response_step(method, state, eps, g, alpha1)
    return State(state.lam, state.sigma, state.w0 - alpha1 * g0, response)


def _response_step(
    method: Method, state: State, c: Float[ndarray, "... h"], g: Float[ndarray, "... m"], alpha1: float
) -> Response:
    gradient = state.response.gradient(c, g)
    return state.response.minus(alpha1, gradient.per_variance(state.sigma) if method.normalised else gradient)


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
