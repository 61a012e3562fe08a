"""Eqn. 2.7: the perturbation ε ~ N(0, diag(σ²)), its entropy, and exact expectations over it.

name     symbol       shape
sigma    σ            (..., h)     standard deviation (Table 2's diag(σ) for the covariance is a slip)
z        ε/σ          (..., h)     standard normal
tau      τ            ()           weight of the entropy
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.bilevel.objective import Scalars


def entropy(sigma: Float[ndarray, "... h"]) -> Scalars:
    """H[N(0, diag(σ²))] = Σ_i log σ_i + (h/2) log 2πe.

    Raises:
        ValueError: a scale is not positive.

    Example, the entropy of a standard normal is log(2πe)/2:
        >>> entropy(np.array([1.0])).round(6)
        np.float64(1.418939)
    """
    if np.any(sigma <= 0):
        raise ValueError("a perturbation scale is not positive: it has no entropy")
    return np.sum(np.log(sigma), axis=-1) + 0.5 * sigma.shape[-1] * np.log(2 * np.pi * np.e)


def softplus(raw: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    """σ = log(1 + e^raw): a positive scale from an unconstrained number."""
    return np.logaddexp(0.0, raw)


def softplus_inverse(sigma: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    """raw = log(e^σ - 1), for σ > 0."""
    return sigma + np.log(-np.expm1(-sigma))


def quadrature(sigma: Float[ndarray, "h"], nodes: int = 40) -> tuple[Float[ndarray, "k h"], Float[ndarray, "k"]]:
    """Gauss-Hermite points ε (k, h) and weights (k,) for N(0, diag(σ²)); k = nodes^h.

    Exact for polynomials of degree up to 2·nodes - 1; for exp(ε) at σ = 1, forty nodes reach rounding error.
    """
    z, weight = np.polynomial.hermite_e.hermegauss(nodes)
    h = len(sigma)
    grids = np.meshgrid(*[z] * h, indexing="ij")
    weights = np.prod(np.meshgrid(*[weight / weight.sum()] * h, indexing="ij"), axis=0)
    return np.stack(grids, axis=-1).reshape(-1, h) * sigma, weights.reshape(-1)


def expectation(function: Callable[[ndarray], ndarray], sigma: Float[ndarray, "h"], nodes: int = 40) -> ndarray:
    """E_ε[function(ε)] for a function of one ε (h,), by `quadrature`.

    Example, E[ε²] = σ²:
        >>> expectation(lambda eps: eps[0] ** 2, np.array([3.0])).round(9)
        np.float64(9.0)
    """
    points, weights = quadrature(sigma, nodes)
    return np.tensordot(weights, np.array([function(eps) for eps in points]), axes=1)
