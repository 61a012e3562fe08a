"""Θ learns at the rate of the training loss: λ_max(G_w) ≤ 2 max_i ‖J_i‖² L_T for cross entropy.

    name   symbol               shape      meaning
    X      x_i                  (n, p)     inputs; for linear logits ‖J_i‖ = ‖x_i‖, the logits' Jacobian in w
    lam    λ                    (k, 1)     log decay at each of k steps; w0 = r(λ), and L_T as `Logistic` has it
    G      G_w                  (k, m, m)  Hessian of L_T: that of the cross entropy, plus the decay
    B      ∂²L_T/∂w∂λ           (k, m)
    J      ∂r/∂λ = -G⁻¹B        (k, m)     what Θ should be
    loss   L_T                  (k,)       the cross entropy alone, without the decay's term
    alpha  ασ²                  (k,)       Θ's step; its mean gradient is σ²(B + GΘ), to leading order in σ

Statement, proof and table: response_rate.md.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.beyond.problems.logistic import Logistic
from reference.beyond.problems.softmax import cross_entropy
from reference.bilevel.objective import Scalars


class Path(NamedTuple):
    """What Θ's step sees while λ moves and the weights are its best response."""

    G: Float[ndarray, "k m m"]
    B: Float[ndarray, "k m"]
    J: Float[ndarray, "k m"]
    loss: Float[ndarray, "k"]


def curvature_bound(X: Float[ndarray, "n p"], loss: Scalars) -> Scalars:
    """2 max_i ‖x_i‖² L_T, which λ_max of the cross entropy's Hessian in w does not exceed.

    Example, x = 1 and two classes, p = (0.99, 0.01): the Hessian's eigenvalue is 2·0.99·0.01, the loss -log 0.99:
        >>> curvature_bound(np.ones((1, 1)), -np.log(0.99)).round(4), round(2 * 0.99 * 0.01, 4)
        (np.float64(0.0201), 0.0198)
    """
    return 2 * np.sum(X**2, axis=-1).max() * loss


def best_response_path(problem: Logistic, lam: Float[ndarray, "k 1"]) -> Path:
    """G, B, J and L_T at each λ, decay alone being tuned.

    Raises:
        ValueError: the problem tunes more than the decay.
    """
    if problem.h != 1:
        raise ValueError(f"h = {problem.h}: the path is that of weight decay alone, h = 1")
    r = problem.best_response(lam)
    G, B = problem.hess_ww(lam, r), problem.hess_wlam(lam, r)
    return Path(G, B[..., 0], -np.linalg.solve(G, B)[..., 0], np.asarray(cross_entropy(problem.X, problem.T, r)))


def descent_errors(path: Path, alpha: Float[ndarray, "k"]) -> Float[ndarray, "k"]:
    """‖Θ - J‖/‖J‖ before each step Θ ← Θ - α_k (B + GΘ), from Θ = 0: α_k constant is plain, α_k ∝ 1/L_T scale-free."""
    Theta, errors = np.zeros_like(path.J[0]), []
    for G, B, J, step in zip(path.G, path.B, path.J, alpha, strict=True):
        errors.append(np.linalg.norm(Theta - J) / np.linalg.norm(J))
        Theta = Theta - step * (B + G @ Theta)
    return np.array(errors)


def adam_errors(path: Path, alpha: float, beta2: float, beta1: float = 0.9) -> Float[ndarray, "k"]:
    """The same under Adam: α m/√s long, m and s the means, without bias, of the gradient and its square."""
    Theta, m, s, errors = np.zeros_like(path.J[0]), 0.0, 0.0, []
    for k, (G, B, J) in enumerate(zip(path.G, path.B, path.J, strict=True), start=1):
        errors.append(np.linalg.norm(Theta - J) / np.linalg.norm(J))
        g = B + G @ Theta
        m, s = beta1 * m + (1 - beta1) * g, beta2 * s + (1 - beta2) * g**2
        # The smallest positive number: a term of 1e-8 would itself set a scale.
        root = np.sqrt(s / (1 - beta2**k)) + np.finfo(float).tiny
        Theta = Theta - alpha * m / (1 - beta1**k) / root
    return np.array(errors)
