"""Section 3.1: what an uncentred first step does to the hyperparameters (Eqns. 3.6 to 3.8)."""

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from reference.claims import instances
from reference.claims.instances import Setting, WeightwiseRidge
from reference.claims.registry import DIFFERENCE, EXACT, Measured, claim
from reference.claims.routes import central_difference, relative_error
from reference.rule.hypernet import FullResponse, uncentred_weights
from reference.rule.updates import REPARAM_STN, STN, Method, State, inner_step, learned_hypergradient

ALPHA = 0.05


def theta(state: State) -> np.ndarray:
    """The full response's matrix."""
    assert isinstance(state.response, FullResponse)
    return state.response.Theta


@claim(
    "3.6",
    "One step of STN changes Φ by -α ∇_wL_T(λ⁽⁰⁾, w⁽⁰⁾) λ⁽⁰⁾ᵀ, λ⁽⁰⁾ being the sampled λ + ε: the gradient in Φ of "
    "L_T(λ⁽⁰⁾, Φλ⁽⁰⁾ + φ0).",
    DIFFERENCE,
)
def eqn_3_6(rng: Generator) -> float:
    problem, lam = instances.weightwise(rng)
    point = instances.setting(rng, problem, lam)
    eps = point.sigma * rng.normal(size=lam.shape)
    after = inner_step(STN, point.state, eps, problem, problem, ALPHA)
    lam_0 = lam + eps
    w_0 = uncentred_weights(point.Theta, point.w0, lam_0)
    step = -ALPHA * np.outer(problem.grad_w(lam_0, w_0), lam_0)
    gradient = central_difference(
        lambda Phi: problem.train_loss(lam_0, uncentred_weights(Phi, point.w0, lam_0)), point.Theta
    )
    moved = theta(after) - point.Theta
    return max(relative_error(moved, step, point.Theta), relative_error(moved, -ALPHA * gradient, point.Theta))


@claim(
    "3.6",
    "With ε drawn, STN's first change of Φ has the mean -α ∇L_T λᵀ, along λ; the centred form's, along ε, has mean 0 "
    "(from Φ = 0 and w = 0, where ∇L_T does not contain ε).",
    EXACT,
)
def eqn_3_6_mean(rng: Generator) -> float:
    problem, lam = instances.weightwise(rng)
    point = Setting(lam, np.ones(2), w0=np.zeros(problem.X.shape[1]), Theta=np.zeros((problem.X.shape[1], 2)))
    eps = rng.normal(size=2)

    def change(method: Method) -> np.ndarray:
        ahead, behind = (theta(inner_step(method, point.state, e, problem, problem, ALPHA)) for e in (eps, -eps))
        return (ahead + behind) / 2

    along = -ALPHA * np.outer(-problem.Xt / problem.n, lam)
    return max(relative_error(change(STN), along), relative_error(change(REPARAM_STN), 0 * along, along))


@claim(
    "3.7, 3.8",
    "After that step dL_V/dλ = ∂L_V/∂λ + Φ⁽¹⁾ᵀ∇L_V, of which -α(∇L_Tᵀ∇L_V)λ⁽⁰⁾ is new, L_V's gradients at w⁽¹⁾.",
    DIFFERENCE,
)
def eqns_3_7_and_3_8(rng: Generator) -> float:
    problem, lam = instances.quadratic(rng)
    point = instances.setting(rng, problem, lam)
    eps = point.sigma * rng.normal(size=lam.shape)
    after = inner_step(STN, point.state, eps, problem, problem, ALPHA)
    hypergradient = learned_hypergradient(STN, after, problem)
    total = central_difference(lambda x: problem.valid_loss(x, uncentred_weights(theta(after), after.w0, x)), lam)
    lam_0, w_1 = lam + eps, uncentred_weights(theta(after), after.w0, lam)
    w_0 = uncentred_weights(point.Theta, point.w0, lam_0)
    g_valid = problem.valid_grad_w(lam, w_1)
    new = -ALPHA * (problem.grad_w(lam_0, w_0) @ g_valid) * lam_0
    parts = problem.valid_grad_lam(lam, w_1) + point.Theta.T @ g_valid + new
    weights = relative_error(after.weights(STN), w_1)
    return max(relative_error(hypergradient, total, new), relative_error(hypergradient, parts, new), weights)


@claim(
    "3.8",
    "While training and validation gradients agree, the new term drives λ along λ⁽⁰⁾, away from 0, since descent "
    "subtracts it: from Φ = 0, on equal data and with ε = 0, λ first moves by a positive multiple of λ; centred, not "
    "at all.",
    EXACT,
)
def eqn_3_8_sign(rng: Generator) -> Measured:
    drawn, lam = instances.weightwise(rng)
    problem = replace(drawn, X_valid=drawn.X, t_valid=drawn.t)
    point = Setting(lam, np.ones(2), w0=np.zeros(problem.X.shape[1]), Theta=np.zeros((problem.X.shape[1], 2)))
    # Small enough that the validation gradient keeps its sign along the step.
    alpha = 0.5 / float((1 + lam @ lam) * np.linalg.norm(problem.A / problem.n, 2))
    move, centred = (first_move(method, problem, point, alpha) for method in (STN, REPARAM_STN))
    cosine = float(move @ lam / (np.linalg.norm(move) * np.linalg.norm(lam)))
    growth = move @ lam / (lam @ lam)
    return Measured(max(abs(1 - cosine), relative_error(centred, 0 * lam, move)), f"-dL_V/dλ = {growth:.2g} λ")


def first_move(method: Method, problem: WeightwiseRidge, point: Setting, alpha: float) -> np.ndarray:
    """-dL_V/dλ, as learned, after one unperturbed inner step."""
    after = inner_step(method, point.state, 0 * point.lam, problem, problem, alpha)
    return -learned_hypergradient(method, after, problem)
