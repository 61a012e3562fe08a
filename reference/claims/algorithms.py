"""Algorithms 1 and 2: what one step of each computes, against differences of the loss that it descends."""

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from reference.claims import instances
from reference.claims.registry import DIFFERENCE, EXACT, Measured, claim
from reference.claims.routes import NODES, central_difference, relative_error
from reference.rule.hypernet import FullResponse, centred_weights, uncentred_weights
from reference.rule.perturbation import expectation
from reference.rule.updates import DELTA_STN, STN, State, inner_step, outer_gradients


def parameters(state: State) -> np.ndarray:
    """(w0, Θ), side by side."""
    assert isinstance(state.response, FullResponse)
    return np.column_stack([state.w0, state.response.Theta])


@claim(
    "Alg. 1",
    "Δ-STN's inner step moves w0 down L_T(λ, w0) and then Θ down L_T(λ+ε, f(w0) + J_yw Θε), linearised at the new w0, "
    "each on training data (or with masks) of its own.",
    DIFFERENCE,
)
def algorithm_1_inner(rng: Generator) -> float:
    problem, lam = instances.saturating(rng)
    again = replace(problem, t=rng.normal(size=problem.n))
    point, alpha = instances.setting(rng, problem, lam), 0.1
    eps = point.sigma * rng.normal(size=1)
    after = parameters(inner_step(DELTA_STN, point.state, eps, problem, again, alpha))
    w0 = point.w0 - alpha * central_difference(lambda w: problem.train_loss(lam, w), point.w0)
    y, J = problem.f(w0), central_difference(problem.f, w0)
    down = central_difference(lambda Theta: again.train_loss_v(lam + eps, y + J @ Theta @ eps), point.Theta)
    return relative_error(after, np.column_stack([w0, point.Theta - alpha * down]))


@claim(
    "Alg. 1",
    "Its outer step differentiates L_V(λ+ε, r_θ(λ+ε, λ0)) in λ with λ0 held, and in σ through ε = σz less τ/σ; were "
    "λ0 to move with λ, the direct gradient alone would be left.",
    DIFFERENCE,
)
def algorithm_1_outer(rng: Generator) -> Measured:
    problem, lam = instances.quadratic(rng)
    point, z, tau = instances.setting(rng, problem, lam), rng.normal(size=lam.shape), 0.2
    eps = point.sigma * z

    def loss(x: np.ndarray, lam0: np.ndarray, noise: np.ndarray) -> float:
        return float(problem.valid_loss(x + noise, centred_weights(point.Theta, point.w0, x + noise, lam0)))

    g_lam, g_sigma = outer_gradients(DELTA_STN, point.state, eps, problem, tau)
    held = central_difference(lambda x: loss(x, lam, eps), lam)
    scaled = central_difference(lambda s: loss(lam, lam, s * z) - tau * np.sum(np.log(s)), point.sigma)
    moving = central_difference(lambda x: loss(x, x, eps), lam)
    terms, direct = (
        (loss(lam, lam, eps), tau / point.sigma),
        problem.valid_grad_lam(lam + eps, point.w0 + point.Theta @ eps),
    )
    errors = relative_error(g_lam, held, *terms), relative_error(g_sigma, scaled, *terms)
    off = np.linalg.norm(moving - g_lam) / np.linalg.norm(g_lam)
    detail = f"with λ0 moving the gradient is off by {off:.2g}"
    return Measured(max(*errors, relative_error(moving, direct, *terms)), detail)


@claim(
    "Alg. 1",
    "With H.3's loss and a linear model the mean over ε of λ's gradient is the gradient at ε = 0, Θ held: what Alg. 1 "
    "adds by drawing ε is noise of covariance S diag(σ²) S, S = Θᵀ (∂²L_V/∂w²) Θ.",
    EXACT,
)
def algorithm_1_outer_noise(rng: Generator) -> Measured:
    problem, lam = instances.weightwise(rng)
    point = instances.setting(rng, problem, lam)

    def moments(eps: np.ndarray) -> np.ndarray:
        noise = outer_gradients(DELTA_STN, point.state, eps, problem)[0] - zero
        return np.column_stack([noise, np.outer(noise, noise)])

    zero = point.Theta.T @ problem.X_valid.T @ (problem.X_valid @ point.w0 - problem.t_valid) / len(problem.t_valid)
    mean, covariance = np.split(expectation(moments, point.sigma, NODES), [1], axis=1)
    root = point.sigma * (point.Theta.T @ problem.X_valid.T @ problem.X_valid @ point.Theta) / len(problem.t_valid)
    errors = relative_error(mean, 0 * mean, root), relative_error(covariance, root @ root.T)
    size = np.sqrt(np.trace(root @ root.T)) / np.linalg.norm(zero)
    return Measured(max(*errors), f"the noise is {size:.2g} times the gradient")


@claim("Alg. 2", "STN's inner step is one of gradient descent on L_T(λ+ε, Φ(λ+ε) + φ0) in both Φ and φ0.", DIFFERENCE)
def algorithm_2(rng: Generator) -> float:
    problem, lam = instances.weightwise(rng)
    point = instances.setting(rng, problem, lam)
    eps, phi = rng.normal(size=lam.shape), np.column_stack([point.w0, point.Theta])
    after = inner_step(STN, point.state, eps, problem, problem, alpha1=1.0)
    gradient = central_difference(
        lambda x: problem.train_loss(lam + eps, uncentred_weights(x[:, 1:], x[:, 0], lam + eps)), phi
    )
    return relative_error(phi - parameters(after), gradient, phi)
