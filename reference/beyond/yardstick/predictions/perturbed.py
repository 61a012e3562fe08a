"""Causes in perturbations that are not small: the σ-bias of STN, of Δ-STN and of evolution strategies.

    name        symbol            shape
    sigma       σ                 ()          perturbation scale, the same for every λ
    eps         ε                 (q,)        quadrature points of N(0, σ²), for one λ
    v, v0       v*(λ), v0         (k,)        best outputs, and the centre that STN comes to rest at
    Theta       Θ                 (k, h)      response of the outputs
    phi, Z      φ(ε), Z           (q, a), (a, k)    v + φ(ε)ᵀZ are the perturbed outputs
    a           e^{λ_g+σ²/2} d    (m,)        E[e^{λ_g+ε_g}] d, for many λ

STN rests where E[(1, ε) ∂L_T/∂v(λ+ε, v0+Θε)] = 0 (Eqn. 2.5; only where f is the identity), Δ-STN where
E[ε ∂L_T/∂v(λ+ε, v*+Θε)] = 0 (Eqn. 3.10 with v0 = v*, as its own w0 does); evolution strategies return
E[ε L_V(r(λ+ε))]/σ². For one λ that is a quadrature. For many penalties or drop rates (`grouped`), where
feature j sees e^{ε_i} of its group i alone, E[e^{ε_i}ε_k] = σ²e^{σ²/2} δ_ik and E[e^{ε_i}ε_kε_l] =
σ²e^{σ²/2} (1 + σ²δ_ik) δ_kl give both rests: with M_k = diag(1 where g(j) = k),

    Θ_k = -S_k v0,  S_k = (A + diag(a)(I + σ²M_k))⁻¹ diag(a) M_k,   (A + diag(a)(I - σ² Σ_k M_k S_k)) v0 = Xᵀt (STN).

Quadratics are not biased. Left out, since no closed form is known: softmax regression with several λ, and evolution
strategies with several.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy import ndarray

from reference.beyond.problems.grouped import GroupedRegression
from reference.beyond.yardstick.cause import Cause
from reference.beyond.yardstick.predictions.fitted import Curve
from reference.beyond.yardstick.predictions.parts import Parts
from reference.bilevel.networks import Identity
from reference.bilevel.problem import Problem
from reference.rule.perturbation import quadrature

MOST_STEPS, LAST = 20, 1e-9
"""Newton's steps: from one that is so small beside Z the next is one of rounding."""

SIGMAS = np.append([1e-3, 0.03], np.linspace(0.2, 2.0, 10))
"""Where the bias is drawn before σ is fitted: below 0.2 it is nearly straight in σ²."""

RESPONSE = Cause("perturbation", "the response is learned from perturbations that are not small (Eqn. 3.10, Δ-STN)")
JOINT = Cause("perturbation", "weights and response are learned from perturbations that are not small (Eqn. 2.5, STN)")
SMOOTHED = Cause(
    "perturbation", "the outer loss is smoothed by perturbations that are not small (evolution strategies)"
)

Answer = Callable[[Parts, float], ndarray]


def perturbed(parts: Parts) -> dict[Cause, Curve]:
    """What each of these causes makes of one problem at any σ, where that is known."""
    answers: dict[Cause, Answer] = {}
    if isinstance(parts.problem, GroupedRegression):
        answers = {RESPONSE: _response_of_many, JOINT: _joint_of_many}
    elif len(parts.lam) == 1:
        answers = {RESPONSE: _response, SMOOTHED: _smoothed}
        if isinstance(parts.problem.f, Identity):  # Eqn. 2.5 is not linearised: behind a network STN rests elsewhere
            answers[JOINT] = _joint
    return {cause: Curve(partial(_where_known, answer, parts), SIGMAS) for cause, answer in answers.items()}


def _where_known(answer: Answer, parts: Parts, sigma: float) -> ndarray | None:
    try:
        return answer(parts, sigma)
    except (ValueError, np.linalg.LinAlgError):  # a penalty λ + ε below zero has no best response
        return None


def _response(parts: Parts, sigma: float) -> ndarray:
    problem, v = parts.problem, parts.problem.f(parts.w)
    eps, weights = quadrature(np.array([sigma]))
    (Theta,) = _rest(problem, parts.lam + eps, weights, v, eps)
    return parts.direct + problem.valid_grad_v(parts.lam, v) @ Theta[:, None]


def _joint(parts: Parts, sigma: float) -> ndarray:
    eps, weights = quadrature(np.array([sigma]))
    moved, Theta = _rest(parts.problem, parts.lam + eps, weights, parts.w, np.hstack([np.ones_like(eps), eps]))
    return parts.direct + parts.problem.valid_grad_v(parts.lam, parts.w + moved) @ Theta[:, None]


def _smoothed(parts: Parts, sigma: float) -> ndarray:
    eps, weights = quadrature(np.array([sigma]))
    return (weights * eps[:, 0] @ np.asarray(parts.problem.outer_loss(parts.lam + eps)) / sigma**2)[None]


def _rest(problem: Problem, lam: ndarray, weights: ndarray, v: ndarray, phi: ndarray) -> ndarray:
    """The Z (a, k) at which E[φ ∂L_T/∂v(λ+ε, v + φᵀZ)] = 0, by Newton steps: one where the loss is quadratic in v.

    Raises:
        numpy.linalg.LinAlgError: it does not come to rest.
    """
    Z = np.zeros((phi.shape[-1], len(v)))
    for _ in range(MOST_STEPS):
        outputs = v + phi @ Z
        slope = np.einsum("q,qa,qk->ak", weights, phi, problem.train_grad_v(lam, outputs))
        H = np.broadcast_to(problem.train_hess_vv(lam, outputs), (len(lam), len(v), len(v)))
        curvature = np.einsum("q,qa,qb,qkl->akbl", weights, phi, phi, H, optimize=True)
        step = np.linalg.solve(curvature.reshape(Z.size, Z.size), slope.ravel()).reshape(Z.shape)
        Z = Z - step
        if np.abs(step).max() <= LAST * np.abs(Z).max():
            return Z
    raise np.linalg.LinAlgError("the response does not come to rest")


def _response_of_many(parts: Parts, sigma: float) -> ndarray:
    _, S = _many(parts, sigma)
    return -(S @ parts.w) @ parts.grad


def _joint_of_many(parts: Parts, sigma: float) -> ndarray:
    problem: Any = parts.problem
    a, S = _many(parts, sigma)
    per_weight = S[list(problem.group), np.arange(len(a))]  # Σ_k M_k S_k
    v0 = np.linalg.solve(problem.A + np.diag(a) - sigma**2 * a[:, None] * per_weight, problem.Xt)
    return -(S @ v0) @ problem.valid_grad_v(parts.lam, v0)


def _many(parts: Parts, sigma: float) -> tuple[ndarray, ndarray]:
    """a and S (h, m, m)."""
    problem: Any = parts.problem
    a, M, eye = problem.weight(parts.lam + sigma**2 / 2), problem.membership.T, np.eye(len(parts.w))
    return a, np.linalg.solve(problem.A + (a * (1 + sigma**2 * M))[..., None] * eye, (a * M)[..., None] * eye)
