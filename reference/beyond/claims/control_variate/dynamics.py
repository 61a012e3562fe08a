"""Beyond the paper: where Θ comes to rest with a control variate, how fast, and why w0 must not move in between."""

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from reference.beyond.claims.control_variate.variance import drawn, measured_covariance, plain, reduced
from reference.beyond.control_variate.updates import DELTA_STN_CV, DELTA_STN_CV_NORMALISED
from reference.beyond.control_variate.variance import covariance
from reference.claims.registry import EXACT, Measured, claim
from reference.claims.routes import relative_error
from reference.rule.perturbation import expectation


@claim(
    "beyond 6",
    "For C.9, with all rows in the batch, the gradient with the control variate vanishes at Θ = -A⁻¹B for every ε, "
    "wherever w0 is: Θ comes to rest. The paper's is then g0εᵀ.",
    EXACT,
)
def at_rest(rng: Generator) -> float:
    problem, point, _, g0 = drawn(rng)
    point = replace(point, Theta=problem.best_response_jacobian(point.lam))
    eps = rng.normal(size=point.lam.shape)
    terms = problem.grad_w(point.lam + eps, point.w0), point.Theta, problem.train.A @ point.Theta
    nothing, noise = reduced(problem, point)(eps), plain(problem, point)(eps)
    return max(
        relative_error(nothing, np.zeros_like(nothing), *terms), relative_error(noise, np.outer(g0, eps), *terms)
    )


@claim(
    "beyond 7",
    "Both gradients belong at one w0: with g0 from before w0's step and the perturbed gradient from after it, "
    "-αAg0εᵀ stays in the difference, and α²(Ag0)(Ag0)ᵀ ⊗ diag(σ²) in its covariance.",
    EXACT,
)
def moved(rng: Generator) -> Measured:
    problem, point, M, g0 = drawn(rng)
    alpha, Ag0 = 0.1, problem.train.A @ g0
    after = replace(point, w0=point.w0 - alpha * g0)
    eps = rng.normal(size=point.lam.shape)
    left = plain(problem, after)(eps) - np.outer(g0, eps)
    gradient_error = relative_error(left - reduced(problem, point)(eps), -alpha * np.outer(Ag0, eps), left, point.Theta)
    noise = measured_covariance(lambda e: plain(problem, after)(e) - np.outer(g0, e), point.sigma, nodes=3)
    extra = np.einsum("ik,jl->ijkl", alpha**2 * np.outer(Ag0, Ag0), np.diag(point.sigma**2))
    error = relative_error(noise - covariance(M, 0 * g0, point.sigma), extra, noise, point.Theta)
    square, h = np.sum(M**2), point.lam.size
    times = 1 + h * alpha**2 * np.sum(Ag0**2) / (0.03**2 * (h + 1) * square)
    return Measured(max(gradient_error, error), f"at σ = 0.03 and α = 0.1 {times:.3g} times the variance")


@claim(
    "beyond 8",
    "For C.9, divided by σ_j², column j's mean step contracts Θ - Θ* by I - αA, w0's own rate, for every σ; undivided "
    "by I - ασ_j²A.",
    EXACT,
)
def contraction(rng: Generator) -> float:
    problem, point, _, g0 = drawn(rng)
    alpha, A, Theta_star = 0.1, problem.train.A, problem.best_response_jacobian(point.lam)
    error, rates = point.Theta - Theta_star, (np.ones_like(point.sigma), point.sigma**2)
    errors = []
    for method, rate in zip((DELTA_STN_CV_NORMALISED, DELTA_STN_CV), rates, strict=True):
        step = expectation(reduced(problem, point, method), point.sigma, nodes=3)
        errors.append(relative_error(error - alpha * step, error - alpha * A @ error * rate, g0, point.Theta))
    return max(errors)
