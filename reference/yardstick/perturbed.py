"""Causes in perturbations that are not small (one λ): the σ-bias of STN, of Δ-STN and of evolution strategies.

    name        symbol            shape
    sigma       σ                 ()          perturbation scale
    eps         ε                 (q,)        quadrature points of N(0, σ²)
    v, v0       v*(λ), v0         (k,)        best outputs, and the centre that STN comes to rest at
    Theta       Θ                 (k,)        response of the outputs
    phi, Z      φ(ε), Z           (q, a), (a, k)    v + φ(ε)ᵀZ are the perturbed outputs

STN rests where E[(1, ε) ∂L_T/∂v(λ+ε, v0+Θε)] = 0 (Eqn. 2.5; only where f is the identity), Δ-STN where
E[ε ∂L_T/∂v(λ+ε, v*+Θε)] = 0 (Eqn. 3.10 with v0 = v*, as its own w0 does); evolution strategies return
E[ε L_V(r(λ+ε))]/σ².
"""

from collections.abc import Iterator

import numpy as np
from numpy import ndarray

from reference.networks import Identity
from reference.perturbation import quadrature
from reference.problem import Problem
from reference.yardstick.cause import Cause, Predictions
from reference.yardstick.parts import Parts

MOST_STEPS, LAST = 20, 1e-9
"""Newton's steps: from one that is so small beside Z the next is one of rounding."""

SIGMAS = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.001)

RESPONSE = "the response is learned from perturbations that are not small (Eqn. 3.10, Δ-STN)"
JOINT = "weights and response are learned from perturbations that are not small (Eqn. 2.5, STN)"
SMOOTHED = "the outer loss is smoothed by perturbations that are not small (evolution strategies)"


def perturbed(parts: Parts) -> Predictions:
    """What each of these causes makes of one problem, where it has a limit."""
    predictions: Predictions = {}
    for sigma in SIGMAS if len(parts.lam) == 1 else ():
        try:
            predictions |= {Cause("perturbation", name, f"σ = {sigma:g}"): g for name, g in _biased(parts, sigma)}
        except (ValueError, np.linalg.LinAlgError):  # a penalty λ + ε below zero: no best response
            continue
    return predictions


def _biased(parts: Parts, sigma: float) -> Iterator[tuple[str, ndarray]]:
    problem, v = parts.problem, parts.problem.f(parts.w)
    points, weights = quadrature(np.array([sigma]))
    lam = parts.lam + points
    (Theta,) = _rest(problem, lam, weights, v, points)
    yield RESPONSE, parts.direct + problem.valid_grad_v(parts.lam, v) @ Theta[:, None]
    if isinstance(problem.f, Identity):  # Eqn. 2.5 is not linearised: behind a network STN rests elsewhere
        moved, Theta = _rest(problem, lam, weights, v, np.column_stack([np.ones(len(points)), points]))
        yield JOINT, parts.direct + problem.valid_grad_v(parts.lam, v + moved) @ Theta[:, None]
    yield SMOOTHED, (weights * points[:, 0] @ np.asarray(problem.outer_loss(lam)) / sigma**2)[None]


def _rest(problem: Problem, lam: ndarray, weights: ndarray, v: ndarray, phi: ndarray) -> ndarray:
    """The Z (a, k) at which E[φ ∂L_T/∂v(λ+ε, v + φᵀZ)] = 0, by Newton steps: one where the loss is quadratic in v.

    Raises:
        numpy.linalg.LinAlgError: it does not come to rest.
    """
    Z = np.zeros((phi.shape[-1], len(v)))
    for _ in range(MOST_STEPS):
        at = v + phi @ Z
        slope = np.einsum("q,qa,qk->ak", weights, phi, problem.train_grad_v(lam, at))
        H = np.broadcast_to(problem.train_hess_vv(lam, at), (len(lam), len(v), len(v)))
        curvature = np.einsum("q,qa,qb,qkl->akbl", weights, phi, phi, H, optimize=True)
        step = np.linalg.solve(curvature.reshape(Z.size, Z.size), slope.ravel()).reshape(Z.shape)
        Z = Z - step
        if np.abs(step).max() <= LAST * np.abs(Z).max():
            return Z
    raise np.linalg.LinAlgError("the response does not come to rest")
