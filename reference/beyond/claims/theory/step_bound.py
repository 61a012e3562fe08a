"""Beyond the paper: how long Θ's step may be, with one ε for all examples and with one for each."""

import numpy as np
from numpy.random import Generator

from reference.beyond.control_variate.updates import DELTA_STN_CV_NORMALISED, inner_step
from reference.beyond.theory.step_bound import growth, largest_step, safe_step, second_moment_step
from reference.claims.instances import positive_definite
from reference.claims.registry import EXACT, Measured, claim
from reference.claims.routes import relative_error
from reference.problems.quadratic import Quadratic, QuadraticProblem
from reference.rule.hypernet import FullResponse
from reference.rule.perturbation import quadrature
from reference.rule.updates import State


def examples(rng: Generator, n: int, m: int, h: int, shared: bool) -> list[QuadraticProblem]:
    """n examples' losses with one Θ* = 0, of one curvature or of a curvature each."""
    zero = np.zeros((m, h))
    curvatures = [positive_definite(rng, m)] * n if shared else [positive_definite(rng, m) for _ in range(n)]
    losses = [Quadratic(A, zero, np.eye(h), rng.normal(size=m), np.zeros(h), np.float64(0)) for A in curvatures]
    return [QuadraticProblem(loss, loss) for loss in losses]


def step(
    losses: list[QuadraticProblem], sigma: np.ndarray, alpha: float, E: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """E after the step at each node of a quadrature over the n draws of ε, and the nodes' weights."""
    n, h = len(losses), sigma.size
    points, weights = quadrature(np.tile(sigma, n), nodes=3)  # exact: the square of a step has degree 4 in ε
    w0 = np.ones(len(E))
    state = State(np.zeros(h), sigma, w0, FullResponse(E / sigma))
    updated = []
    for i, loss in enumerate(losses):
        eps = points[:, i * h : (i + 1) * h]
        after = inner_step(DELTA_STN_CV_NORMALISED, state, eps, loss, loss, alpha).response
        assert isinstance(after, FullResponse)
        updated.append(after.Theta * sigma)
    return np.mean(updated, axis=0), weights


def second_moment(losses: list[QuadraticProblem], sigma: np.ndarray, alpha: float, E: np.ndarray) -> np.ndarray:
    """E[E Eᵀ] after one step from E."""
    nodes, weights = step(losses, sigma, alpha, E)
    return np.einsum("z,zij,zkj->ik", weights, nodes, nodes)


@claim(
    "beyond 27",
    "With one ε a step and Θ's step divided by σ², along an eigenvector of A (C.9) the mean square of Θ - Θ* changes "
    "by 1 - 2αa + (h+2)α²a²: it falls in every one if and only if α < 2/((h+2)a), a the largest, where w0 would bear "
    "2/a.",
    EXACT,
)
def one_draw(rng: Generator) -> float:
    m, h = int(rng.integers(2, 4)), 2
    losses, sigma = examples(rng, 1, m, h, shared=True), rng.uniform(0.2, 1.0, h)
    a, Q = np.linalg.eigh(losses[0].train.A)
    alpha = largest_step(a[-1], h, n=1)
    columns = [step(losses, sigma, alpha, e.reshape(m, h))[0].reshape(-1, m * h) for e in np.eye(m * h)]
    maps, weights = np.stack(columns, axis=-1), quadrature(sigma, nodes=3)[1]
    operator = np.einsum("z,zij,zkl->ikjl", weights, maps, maps).reshape((m * h) ** 2, -1)
    errors = [abs(np.abs(np.linalg.eigvals(operator)).max() - 1), abs(alpha * (h + 2) * a[-1] - 2)]
    for curvature, q in zip(a, Q.T, strict=True):
        E = np.outer(q, rng.normal(size=h))
        actual = q @ second_moment(losses, sigma, 0.3, E) @ q / np.sum(E**2)
        errors.append(relative_error(actual, 1 - 2 * 0.3 * curvature + (h + 2) * (0.3 * curvature) ** 2, 1.0))
    return max(errors)


@claim(
    "beyond 28",
    "With an ε for each of n examples S = E[EEᵀ], E = (Θ - Θ*)diag(σ), goes to (I - αA)S(I - αA) + α²(h+1)/n² Σ "
    "A_iSA_i. Where the curvatures agree a direction changes by 1 - 2αa + α²a²(1 + (h+1)/n): α < 2/((1 + (h+1)/n)a); "
    "where not, α < 2/(λ_max(A) + (h+1)/n · max λ_max(A_i)) suffices.",
    EXACT,
)
def many_draws(rng: Generator) -> Measured:
    n, m, h = int(rng.integers(2, 4)), int(rng.integers(2, 4)), 2
    sigma, E = rng.uniform(0.2, 1.0, h), rng.normal(size=(m, h))
    losses = examples(rng, n, m, h, shared=False)
    curvatures = np.array([loss.train.A for loss in losses])
    errors = [
        relative_error(second_moment(losses, sigma, 0.4, E), second_moment_step(E @ E.T, curvatures, 0.4, h), E @ E.T)
    ]
    safe = second_moment(losses, sigma, safe_step(curvatures, h), E)
    errors.append(max(0.0, np.trace(safe) / np.sum(E**2) - 1))
    losses = examples(rng, n, m, h, shared=True)
    a, Q = np.linalg.eigh(losses[0].train.A)
    alpha = largest_step(a[-1], h, n)
    for curvature, direction in zip(a, Q.T, strict=True):
        E = np.outer(direction, rng.normal(size=h))
        actual = direction @ second_moment(losses, sigma, alpha, E) @ direction / np.sum(E**2)
        errors.append(relative_error(actual, growth(alpha * curvature, h, n), 1.0))
    errors.append(abs(growth(alpha * a[-1], h, n) - 1))
    return Measured(max(errors), f"{alpha / largest_step(a[-1], h, n=1):.3g} times the step that one ε allows")
