"""Section 3.1: where the Gauss-Newton matrix of the hypernetwork is a Kronecker product (Eqn. 3.4), where not."""

import numpy as np
from numpy.random import Generator

from reference.claims import instances
from reference.claims.registry import EXACT, Measured, claim
from reference.claims.routes import NODES, mean_gradients, relative_error
from reference.problems.quadratic import QuadraticProblem
from reference.problems.regression import Regression
from reference.rule.hypernet import homogeneous, second_moment
from reference.rule.perturbation import expectation
from reference.rule.updates import STN


def hypernet_hessian(problem: QuadraticProblem, lam: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """G_φ column by column, from the expected gradient in (Φ, φ0) of STN's own update."""
    m, h = problem.train.B.shape

    def gradient(phi: np.ndarray) -> np.ndarray:
        columns = phi.reshape(h + 1, m).T  # (Φ, φ0), as λ̂ has its 1 at the end
        means = mean_gradients(STN, problem, instances.Setting(lam, sigma, columns[:, -1], columns[:, :-1]), nodes=3)
        return np.roll(means, -1, axis=1).ravel(order="F")

    offset = gradient(np.zeros(m * (h + 1)))
    return np.stack([gradient(e) - offset for e in np.eye(m * (h + 1))], axis=-1)


@claim(
    "3.4",
    "G_φ = E[λ̂λ̂ᵀ] ⊗ G_w is exact where J_yw and H_y do not depend on ε: a quadratic loss, differentiated column by "
    "column through STN's own update.",
    EXACT,
)
def eqn_3_4(rng: Generator) -> float:
    problem, lam = instances.quadratic(rng)
    sigma = rng.uniform(0.2, 1.0, lam.shape)
    return relative_error(
        hypernet_hessian(problem, lam, sigma),
        np.kron(second_moment(lam, sigma), problem.gauss_newton(lam, 0 * problem.train.d)),
    )


@claim(
    "3.4",
    "It is not exact where they do: for ridge H_y contains exp(λ + ε) D/n with D = I, for input dropout with D = "
    "diag(XᵀX). The error is the covariance of λ̂λ̂ᵀ and exp(λ + ε), known in closed form, ⊗ D/n; and the mean of JᵀHJ "
    "over ε is G_w at λ + σ²/2, not at λ.",
    EXACT,
)
def eqn_3_4_penalties(rng: Generator) -> Measured:
    (ridge, lam_ridge), (dropout, lam) = instances.ridge(rng), instances.dropout(rng)
    sigma = rng.uniform(0.2, 1.0, 1)
    errors = (
        pushing_error(ridge, lam_ridge, sigma, np.ones(ridge.X.shape[1])),
        pushing_error(dropout, lam, sigma, np.sum(dropout.X**2, axis=0)),
    )
    off, off_small = (
        float(np.linalg.norm(b) / np.linalg.norm(a))
        for a, b in (pushed(dropout, lam, np.full(1, s)) for s in (1.0, 0.1))
    )
    return Measured(max(errors), f"for dropout off by {off:.2g} at σ = 1, {off_small:.2g} at 0.1")


def pushed(problem: Regression, lam: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """G_φ, and by how much it differs from E[λ̂λ̂ᵀ] ⊗ E[JᵀHJ]."""
    w = np.zeros(problem.X.shape[1])

    def exact(eps: np.ndarray) -> np.ndarray:
        hat = homogeneous(lam + eps)
        return np.kron(np.outer(hat, hat), problem.gauss_newton(lam + eps, w))

    G_phi = expectation(exact, sigma, NODES)
    G_w = expectation(lambda eps: problem.gauss_newton(lam + eps, w), sigma, NODES)
    return G_phi, G_phi - np.kron(second_moment(lam, sigma), G_w)


def pushing_error(problem: Regression, lam: np.ndarray, sigma: np.ndarray, D: np.ndarray) -> float:
    """How far that difference is from its closed form, and E[JᵀHJ] from G_w at λ + σ²/2."""
    G_phi, difference = pushed(problem, lam, sigma)
    # Weighted with exp(ε), ε is normal about σ² instead of 0, which moves λ by σ².
    moved = second_moment(lam + sigma**2, sigma) - second_moment(lam, sigma)
    covariance = np.exp(lam + sigma**2 / 2) * np.kron(moved, np.diag(D)) / problem.n
    w = np.zeros(len(D))
    G_w = expectation(lambda eps: problem.gauss_newton(lam + eps, w), sigma, NODES)
    return max(
        relative_error(difference, covariance, G_phi),
        relative_error(G_w, (problem.A + np.exp(lam + sigma**2 / 2) * np.diag(D)) / problem.n),
    )


@claim(
    "3.4",
    "Nor for a linear network, whose J_yw moves with the perturbed weights even under a fixed penalty: with one hidden "
    "layer it is J_0 + εJ_1, and centred the error is [[2σ⁴J_1ᵀHJ_1, σ²M], [σ²M, 0]], M = J_0ᵀHJ_1 + J_1ᵀHJ_0.",
    EXACT,
)
def eqn_3_4_network(rng: Generator) -> Measured:
    problem, lam, w = instances.network(rng, depth=1)
    Theta, sigma = rng.normal(size=(w.size, 1)), rng.uniform(0.5, 1.0, 1)
    H = (problem.A + np.exp(lam) * np.eye(2)) / problem.n

    def G_w(eps: np.ndarray) -> np.ndarray:
        return problem.gauss_newton(lam, w + Theta @ eps)

    def J(x: np.ndarray) -> np.ndarray:
        (W,), row = problem.f.unflatten(x)
        return np.hstack([np.kron(row, np.eye(2)), W.T])

    exact = expectation(lambda eps: np.kron(np.outer(homogeneous(eps), homogeneous(eps)), G_w(eps)), sigma, nodes=4)
    pushed = np.kron(second_moment(0 * lam, sigma), expectation(G_w, sigma, nodes=4))
    J_0, J_1 = J(w), J(Theta[:, 0])
    M = J_0.T @ H @ J_1 + J_1.T @ H @ J_0
    error = np.block([[2 * sigma**4 * J_1.T @ H @ J_1, sigma**2 * M], [sigma**2 * M, 0 * M]])
    off = float(np.linalg.norm(error) / np.linalg.norm(exact))
    return Measured(relative_error(exact - pushed, error, exact), f"off by {off:.2g} at σ = {sigma[0]:.2g}")
