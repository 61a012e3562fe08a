"""Causes in perturbations that are not small (one λ): the σ-bias of STN, of Δ-STN and of evolution strategies.

    name        symbol            shape
    sigma       σ                 ()          perturbation scale
    eps         ε                 (q,)        quadrature points of N(0, σ²)
    H, c        H(λ+ε), c(λ+ε)    (q, k, k), (q, k)    ∂L_T/∂v = Hv + c: the losses here are quadratic in the outputs v
    v, v0       v*(λ), v0         (k,)        best outputs, and the centre that STN comes to rest at
    Theta       Θ                 (k,)        response of the outputs

STN rests where [[E H, E εH], [E εH, E ε²H]] (v0; Θ) = -(E c; E εc) (Eqn. 2.5), Δ-STN where E[ε²H] Θ = -E[ε(Hv* + c)]
(Eqn. 3.10 with v0 = v*, as its own w0 does); evolution strategies return E[ε L_V(r(λ+ε))]/σ².
"""

from collections.abc import Iterator

import numpy as np
from numpy import ndarray

from reference.perturbation import quadrature
from reference.yardstick.cause import Cause, Predictions
from reference.yardstick.parts import Parts

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
    problem, v = parts.problem, parts.problem.best_output(parts.lam)
    points, weights = quadrature(np.array([sigma]))
    eps, lam = points[:, 0], parts.lam + points
    H = np.broadcast_to(problem.train_hess_vv(lam, v), (len(eps), len(v), len(v)))
    c = np.broadcast_to(problem.train_grad_v(lam, 0 * v), (len(eps), len(v)))
    H0, H1, H2 = (np.tensordot(weights * eps**k, H, axes=1) for k in range(3))
    c0, c1 = (weights * eps**k @ c for k in range(2))
    Theta = -np.linalg.solve(H2, H1 @ v + c1)
    yield RESPONSE, parts.direct + problem.valid_grad_v(parts.lam, v) @ Theta[:, None]
    v0, Theta = np.split(-np.linalg.solve(np.block([[H0, H1], [H1, H2]]), np.concatenate([c0, c1])), 2)
    yield JOINT, parts.direct + problem.valid_grad_v(parts.lam, v0) @ Theta[:, None]
    yield SMOOTHED, (weights * eps @ np.asarray(problem.outer_loss(lam)) / sigma**2)[None]
