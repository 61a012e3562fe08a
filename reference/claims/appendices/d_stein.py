"""Appendix D: Stein's identity, and the objective in Σ that it allows (D.10 to D.15)."""

import numpy as np
from numpy.random import Generator

from reference.bilevel.problem import Problem
from reference.claims import instances
from reference.claims.appendices.d import drawn, mean_A, mean_B
from reference.claims.instances import Setting
from reference.claims.registry import DIFFERENCE, claim
from reference.claims.routes import NODES, central_difference, mean_gradients, relative_error
from reference.problems import fixed_points
from reference.rule.hypernet import FullResponse
from reference.rule.perturbation import expectation
from reference.rule.updates import CENTERED_STN


@claim(
    "D.10-D.13",
    "Stein's identity: E[B] = E[∂²L̃/∂w∂ε̃ Σ^(-1/2)] = E[g ε̃ᵀ Σ^(-1/2)] = E[g εᵀ Σ⁻¹], which is the mean gradient of Θ "
    "at Θ = 0 divided by σ². (The gradient g is a column, as in 2.4 and G.6; D.12 to D.20 write it as a row.)",
    DIFFERENCE,
)
def eqns_d_10_to_d_13(rng: Generator) -> float:
    problem, point = drawn(rng)
    root, ones = np.diag(point.sigma), np.ones(2)

    def g(standard: np.ndarray) -> np.ndarray:
        return problem.grad_w(point.lam + root @ standard, point.w0)

    def learned(eps: np.ndarray) -> np.ndarray:
        gradient = FullResponse(0 * point.Theta).gradient(eps, problem.grad_w(point.lam + eps, point.w0))
        return gradient.Theta / point.sigma**2

    d_11 = expectation(lambda z: central_difference(g, z) / point.sigma, ones, NODES)
    d_12 = expectation(lambda z: np.outer(g(z), z) / point.sigma, ones, NODES)
    d_13 = expectation(learned, point.sigma, NODES)
    B, noise = mean_B(problem, point), g(0 * ones)
    return max(relative_error(line, B, noise) for line in (d_11, d_12, d_13))


@claim(
    "D.14, D.15",
    "Times Σ from the right, E[BΣ + AΘΣ] is the gradient of D.15's objective, its root D.8's. For C.9, where A is free "
    "of ε, it is Θ's mean gradient in the update rule.",
    DIFFERENCE,
)
def eqns_d_14_and_d_15(rng: Generator) -> float:
    problem, lam = instances.quadratic(rng)
    point = instances.setting(rng, problem, lam)
    gradient, learned = d_15(problem, point), mean_gradients(CENTERED_STN, problem, point, nodes=3)[:, 1:]
    Sigma, noise = np.diag(point.sigma**2), problem.grad_w(lam, point.w0)
    d_14 = (mean_B(problem, point, nodes=3) + mean_A(problem, point, nodes=3) @ point.Theta) @ Sigma
    ridge, nu = instances.ridge(rng, divided=False)
    there = instances.setting(rng, ridge, nu)
    Theta = fixed_points.appendix_d_response(ridge, nu, there.w0, there.sigma)
    at_root = d_15(ridge, Setting(nu, there.sigma, there.w0, Theta))
    return max(
        relative_error(gradient, d_14, noise),
        relative_error(learned, d_14, noise),
        relative_error(at_root, 0 * Theta, mean_B(ridge, there) * there.sigma**2),
    )


def d_15(problem: Problem, point: Setting) -> np.ndarray:
    """The gradient in Θ of E[½tr[AΘΣΘᵀ] + tr[BᵀΘΣ]], by differences."""
    A, B, Sigma = mean_A(problem, point), mean_B(problem, point), np.diag(point.sigma**2)

    def objective(Theta: np.ndarray) -> float:
        return float(0.5 * np.trace(A @ Theta @ Sigma @ Theta.T) + np.trace(B.T @ Theta @ Sigma))

    return central_difference(objective, point.Theta)
