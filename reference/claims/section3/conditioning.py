"""Section 3.1: why centring conditions the inner problem (Observation 2, Eqn. 3.5)."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from reference.claims import instances
from reference.claims.registry import EXACT, Measured, claim
from reference.claims.routes import relative_error
from reference.claims.section3.kronecker import hypernet_hessian
from reference.rule.hypernet import homogeneous, second_moment
from reference.rule.perturbation import expectation


@claim(
    "Observation 2, C.6-C.8",
    "κ(A ⊗ B) = κ(A)κ(B), the norms of A ⊗ B and of its inverse being products: so for the Hessian in φ of "
    "STN's own update, A = E[λ̂λ̂ᵀ] and B = G_w.",
    EXACT,
)
def observation_2(rng: Generator) -> Measured:
    problem, lam = instances.quadratic(rng)
    sigma = rng.uniform(0.2, 1.0, lam.shape)
    A, B = second_moment(lam, sigma), problem.gauss_newton(lam, 0 * problem.train.d)
    eigenvalues = np.linalg.eigvalsh(hypernet_hessian(problem, lam, sigma))
    norm, inverse_norm = eigenvalues[-1], 1 / eigenvalues[0]
    errors = (
        relative_error(norm, np.linalg.norm(A, 2) * np.linalg.norm(B, 2)),
        relative_error(inverse_norm, np.linalg.norm(np.linalg.inv(A), 2) * np.linalg.norm(np.linalg.inv(B), 2)),
        relative_error(norm * inverse_norm, np.linalg.cond(A) * np.linalg.cond(B)),
    )
    return Measured(max(errors), f"κ is {np.linalg.cond(A):.3g} times {np.linalg.cond(B):.3g}")


@claim(
    "3.5",
    "E[λ̂λ̂ᵀ] = Cov(λ̂) + λ̄λ̄ᵀ; the covariance is diag(σ², 0), that of ε with a zero appended, and the second term has "
    "one nonzero eigenvalue, ‖λ̄‖² = ‖λ‖² + 1, which dominates where λ is far from 0: the condition number is at "
    "least ‖λ̄‖²/min(σ², 1).",
    EXACT,
)
def eqn_3_5(rng: Generator) -> float:
    lam, sigma = 3 * rng.normal(size=3), rng.uniform(0.2, 1.5, 3)

    def mean(function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return expectation(lambda eps: function(homogeneous(lam + eps)), sigma, nodes=3)

    bar, closed = mean(lambda hat: hat), second_moment(lam, sigma)
    covariance = mean(lambda hat: np.outer(hat - bar, hat - bar))
    least = (lam @ lam + 1) / min(sigma.min() ** 2, 1.0)
    return max(
        relative_error(closed, mean(lambda hat: np.outer(hat, hat))),
        relative_error(covariance, np.diag([*sigma**2, 0.0])),
        relative_error(np.linalg.eigvalsh(closed - covariance), np.append(np.zeros(3), lam @ lam + 1)),
        max(0.0, 1 - float(np.linalg.cond(closed) / least)),
    )


@claim(
    "3.5",
    "Hence centring: no offset of λ, in whatever direction, gives E[λ̂λ̂ᵀ] a smaller condition number than λ ↦ 0, which "
    "leaves max(σ², 1)/min(σ², 1); it neither lowers the largest eigenvalue nor raises the least.",
    EXACT,
)
def eqn_3_5_centring(rng: Generator) -> Measured:
    lam, sigma = 3 * rng.normal(size=3), rng.uniform(0.1, 2.0, 3)
    least, greatest = (extreme(np.append(sigma**2, 1.0)) for extreme in (np.min, np.max))
    others = [lam, *(10 ** rng.uniform(-3, 0.5, size=(50, 1)) * rng.normal(size=(50, 3)))]
    eigenvalues = np.linalg.eigvalsh(second_moment(np.array(others), sigma))
    centred, there = (np.linalg.cond(second_moment(point, sigma)) for point in (0 * lam, lam))
    errors = (
        relative_error(centred, greatest / least),
        max(0.0, float(1 - eigenvalues[:, -1].min() / greatest)),
        max(0.0, float(eigenvalues[:, 0].max() / least - 1)),
    )
    return Measured(max(errors), f"κ is {there:.3g} at λ = {lam.round(2)} and {centred:.3g} when centred")
