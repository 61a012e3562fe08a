"""Where STN and Δ-STN come to rest at a σ that is not small, solved for by brute force in all unknowns at once.

name     symbol            shape
phi      φ = (1, ε)        (h + 1,)        the perturbed outputs are Zᵀφ
Z        (v0, Θᵀ)          (h + 1, m)
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy import ndarray
from scipy.optimize import root

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def learned_from_perturbations(sigma: float) -> Callable[[Any, ndarray], ndarray]:
    """Δ-STN's answer: Θ at rest (Eqn. 3.10) while w0 is r(λ)."""
    return lambda problem, lam: learned(problem, lam, sigma, jointly=False)


def learned_jointly(sigma: float) -> Callable[[Any, ndarray], ndarray]:
    """STN's answer: w0 and Θ at rest together (Eqn. 2.5), on linear models."""
    return lambda problem, lam: learned(problem, lam, sigma, jointly=True)


def learned(problem: Any, lam: ndarray, sigma: float, jointly: bool) -> ndarray:
    """Exact on quadratics, which are not biased, and where nobody can take the mean: five λ of softmax regression."""
    network = type(problem).__name__ in ("LinearNetwork", "SaturatingSlopes")
    if hasattr(problem, "group"):
        Z = of_many(problem, lam, sigma, jointly)
    elif len(lam) == 1 and not (network and jointly):
        Z = of_one(problem, lam, sigma, jointly)
    else:
        return problem.hypergradient(lam)
    return Z[1:] @ problem.valid_grad_v(lam, Z[0])


def of_one(problem: Any, lam: ndarray, sigma: float, jointly: bool) -> ndarray:
    """E[φ ∂L_T/∂v(λ+ε, Zᵀφ)] = 0 by a general root finder, the mean by Gauss and Hermite's rule."""
    v = problem.best_output(lam)
    phi = np.column_stack([np.ones(len(NODES)), sigma * NODES])

    def filled(unknown: ndarray) -> ndarray:
        return np.vstack([*([] if jointly else [v]), unknown.reshape(-1, len(v))])

    def mean(unknown: ndarray) -> ndarray:
        gradients = [problem.train_grad_v(lam + item[1], item @ filled(unknown)) for item in phi]
        return ((WEIGHTS[:, None] * phi).T @ np.array(gradients))[1 - jointly :].ravel()

    start = np.vstack([v, problem.best_output_jacobian(lam).T])[1 - jointly :]
    return filled(root(mean, start.ravel(), tol=1e-12).x)


def of_many(problem: Any, lam: ndarray, sigma: float, jointly: bool) -> ndarray:
    """E[φ_b (A Zᵀφ - Xᵀt + e^{λ_g+ε_g} d Zᵀφ)] = 0, one dense system; the means are products over coordinates."""
    X, group, (n, m), h = problem.X, list(problem.group), problem.X.shape, len(lam)
    d = (X**2).sum(0) if type(problem).__name__ == "GroupedRates" else np.full(m, n / problem.divisor)
    eps = sigma * NODES
    plain, tilted = ([float(WEIGHTS @ (f * eps**k)) for k in range(3)] for f in (1.0, np.exp(eps)))
    powers = np.eye(h + 1, dtype=int)[:, 1:]  # of ε in φ_a

    def mean(of: int, a: int, b: int) -> float:
        """E[e^{ε_of} φ_a φ_b]; without the exponential where `of` is no coordinate."""
        return float(np.prod([(tilted if c == of else plain)[powers[a, c] + powers[b, c]] for c in range(h)]))

    K = np.zeros((h + 1, m, h + 1, m))
    for a, b in product(range(h + 1), repeat=2):
        K[b, :, a] = mean(h, a, b) * (X.T @ X) + np.diag(np.exp(lam[group]) * d * [mean(of, a, b) for of in group])
    right = np.vstack([X.T @ problem.t, np.zeros((h, m))]).ravel()
    K = K.reshape(right.size, right.size)
    if jointly:
        return np.linalg.solve(K, right).reshape(h + 1, m)
    v = problem.best_response(lam)
    Theta = np.linalg.solve(K[m:, m:], -K[m:, :m] @ v)
    return np.vstack([v, Theta.reshape(h, m)])
