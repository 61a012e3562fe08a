"""Causes in the solution of H u = ∂L_V/∂w: a solver that stopped early, a series that diverges, another matrix.

name        symbol              shape
mu, Q       H = Q diag(μ) Qᵀ    (k,), (m, k)     spectrum of H without its zeros
b           Qᵀ ∂L_V/∂w          (k,)
alpha       α                   ()               step size

In H's own directions every such solver multiplies b by a function of μ, so hundreds of them cost one product with B.
"""

from collections.abc import Iterator
from itertools import islice

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from reference.beyond.yardstick.cause import Cause, Predictions
from reference.beyond.yardstick.predictions.parts import Parts

MOST_STEPS, STALE_STEPS = 100, 30
TERMS = np.array([*range(2, 22), 25, 26, 30, 31, 40, 50, 51, 100, 101, 200, 500, 1000])
ALPHAS = tuple(float(f"{digit}e{power}") for power in range(-4, 1) for digit in (1, 2, 3, 5))
DAMPINGS = tuple(float(f"{digit}e{power}") for power in range(-8, 1) for digit in (1, 2, 5))

CG = Cause("early stop", "conjugate gradient stopped early")
NORMAL_CG = Cause("early stop", "conjugate gradient on the normal equations stopped early")
STALE = Cause("early stop", "conjugate gradient whose directions take the residual from before the step")
NEUMANN = Cause("series", "a truncated Neumann series, or unrolled steps from the best response")
DAMPED = Cause("Hessian", "the Hessian is damped: H + δI")


def solved(parts: Parts) -> Predictions:
    """What each of these causes makes of one problem."""
    mu, Q = parts.spectrum
    b = Q.T @ parts.grad
    solutions = dict(_krylov(mu, b)) | dict(_series(mu, b))
    solutions |= {Cause(DAMPED.kind, DAMPED.words, f"δ = {delta:g}"): b / (mu + delta) for delta in DAMPINGS}
    with np.errstate(invalid="ignore"):  # a series that has overflowed; evidence.py leaves it out
        predictions = dict(zip(solutions, parts.answer(np.array(list(solutions.values())) @ Q.T), strict=True))
    diagonal = np.diag(parts.H)
    if (diagonal != 0).all():
        predictions[Cause("Hessian", "only the diagonal of the Hessian is used")] = parts.answer(parts.grad / diagonal)
    return predictions


def _krylov(mu: ndarray, b: ndarray) -> Iterator[tuple[Cause, ndarray]]:
    for cause, matrix, right in ((CG, mu, b), (NORMAL_CG, mu**2, mu * b)):
        for k, u in enumerate(conjugate_gradients(matrix, right), 1):
            yield Cause(cause.kind, cause.words, f"after {k} steps" if k > 1 else "after 1 step"), u
    for k, u in enumerate(islice(conjugate_gradients(mu, b, stale=True), STALE_STEPS), 1):
        yield Cause(STALE.kind, STALE.words, f"after {k} steps"), u


def _series(mu: ndarray, b: ndarray) -> Iterator[tuple[Cause, ndarray]]:
    largest, least = np.abs(mu).max(), np.abs(mu).min()
    steps = {f"{alpha:g}": alpha for alpha in ALPHAS}
    steps |= {"1/(largest eigenvalue)": 1 / largest, "2/(largest + least eigenvalue)": 2 / (largest + least)}
    for name, alpha in steps.items():
        kind = "divergence" if alpha * largest >= 2 else "series"
        for k, u in zip(TERMS, neumann(mu, b, alpha, TERMS), strict=True):
            yield Cause(kind, NEUMANN.words, f"{k} terms of step {name}"), u


def conjugate_gradients(
    mu: Float[ndarray, "k"], b: Float[ndarray, "k"], stale: bool = False
) -> Iterator[Float[ndarray, "k"]]:
    """Conjugate gradient on diag(μ) u = b from u = 0: u after 1, 2, ... steps, until it has converged.

    Args:
        stale: with the slip p = (the residual before the step) + β p.

    Example, two different eigenvalues, so that it is done after two steps:
        >>> [u.round(4) for u in conjugate_gradients(np.array([1.0, 2.0]), np.array([1.0, 2.0]))]
        [array([0.5556, 1.1111]), array([1., 1.])]
    """
    u, residual = np.zeros_like(b), b
    p, rho = residual, residual @ residual
    enough = (np.finfo(float).eps * np.linalg.norm(b)) ** 2
    for _ in range(MOST_STEPS):
        if rho <= enough:
            return
        step = rho / (p @ (mu * p))
        u, residual, old = u + step * p, residual - step * mu * p, residual
        rho, before = residual @ residual, rho
        p = (old if stale else residual) + rho / before * p
        yield u


def neumann(
    mu: Float[ndarray, "k"], b: Float[ndarray, "k"], alpha: float, terms: Int[ndarray, "s"]
) -> Float[ndarray, "s k"]:
    """α Σ_{j<terms} (1 - αμ)^j b = (1 - (1 - αμ)^terms) b/μ; infinite where that overflows.

    Example, one term and two with α = ½ at μ = 1, ½ and ½ (1 + ½):
        >>> neumann(np.ones(1), np.ones(1), 0.5, np.array([1, 2]))[:, 0]
        array([0.5 , 0.75])
    """
    k = terms[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        plain = 1 - (1 - alpha * mu) ** k
        # Where αμ is tiny, 1 - (1 - αμ)^k would lose the digits that it has.
        precise = -np.expm1(k * np.log1p(-np.minimum(alpha * mu, 0.5)))
        return np.where(np.abs(alpha * mu) < 0.5, precise, plain) * b / mu
