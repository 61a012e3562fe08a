"""Appendix D: Stein's identity, and the objective in Σ that it allows (D.10 to D.15)."""

import numpy as np
from numpy.random import Generator

from reference.claims.appendix_d import drawn, mean_A, mean_B
from reference.claims.numerics import NODES, central_difference, relative_error
from reference.claims.registry import DIFFERENCE, claim
from reference.perturbation import expectation


@claim(
    "D.10-D.13",
    "Stein's identity: E[B] = E[∂²L̃/∂w∂ε̃ Σ^(-1/2)] = E[g ε̃ᵀ Σ^(-1/2)] = E[g εᵀ Σ⁻¹], the gradient g a column.",
    DIFFERENCE,
    correction="the gradient in w is a row in D.12, D.13 (transposed) and D.17-D.20 (not) but a column in 2.4 and G.6; "
    "as a column it is not transposed in D.12 and D.13, and is in D.17-D.20",
)
def eqns_d_10_to_d_13(rng: Generator) -> float:
    problem, at = drawn(rng)
    root, ones = np.diag(at.sigma), np.ones(2)

    def g(standard: np.ndarray) -> np.ndarray:
        return problem.grad_w(at.lam + root @ standard, at.w0)

    d_11 = expectation(lambda z: central_difference(g, z) / at.sigma, ones, NODES)
    d_12 = expectation(lambda z: np.outer(g(z), z) / at.sigma, ones, NODES)
    d_13 = expectation(lambda eps: np.outer(problem.grad_w(at.lam + eps, at.w0), eps / at.sigma**2), at.sigma, NODES)
    B, noise = mean_B(problem, at), g(0 * ones)
    return max(relative_error(found, B, noise) for found in (d_11, d_12, d_13))


@claim(
    "D.14, D.15",
    "Times Σ from the right, E[BΣ + AΘΣ] is the gradient of D.15's objective, its root unchanged.",
    DIFFERENCE,
)
def eqns_d_14_and_d_15(rng: Generator) -> float:
    problem, at = drawn(rng)
    A, B, Sigma = mean_A(problem, at), mean_B(problem, at), np.diag(at.sigma**2)

    def objective(Theta: np.ndarray) -> float:
        return float(0.5 * np.trace(A @ Theta @ Sigma @ Theta.T) + np.trace(B.T @ Theta @ Sigma))

    gradient = central_difference(objective, at.Theta)
    root = -np.linalg.solve(A, B)
    return max(
        relative_error(gradient, B @ Sigma + A @ at.Theta @ Sigma),
        relative_error(central_difference(objective, root), 0 * root, B @ Sigma),
    )
