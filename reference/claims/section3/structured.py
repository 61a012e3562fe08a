"""Section 3.4: the structured response (Eqn. 3.14)."""

from dataclasses import replace
from itertools import product

import numpy as np
from numpy.random import Generator

from reference.claims.registry import BOUND, DIFFERENCE, EXACT, Measured, claim
from reference.claims.routes import central_difference, relative_error
from reference.rule.hypernet import centred_weights
from reference.rule.structured import StructuredResponse, dense_parameters


def layer(rng: Generator, m_in: int, m_out: int, h: int) -> StructuredResponse:
    """A random structured response."""
    return StructuredResponse(*(rng.normal(size=shape) for shape in ((m_out, m_in), (m_out,), (m_out, h), (m_out, h))))


@claim(
    "3.14",
    "It is Eqn. 3.1 with a structured Θ: unit j's weights move by (U(λ - λ0))_j times row j of W_response (a column as "
    "printed, where W is m_i × m_{i+1} and each of its rows is multiplied by the vector).",
    EXACT,
)
def eqn_3_14(rng: Generator) -> float:
    m_in, m_out, h = (int(k) for k in rng.integers(2, 5, size=3))
    response, w0 = layer(rng, m_in, m_out, h), rng.normal(size=m_out * (m_in + 1))
    lam, lam0 = rng.normal(size=(2, h))
    moved = w0 + response.apply(lam - lam0)
    W, b = w0[: m_out * m_in].reshape(m_out, m_in).copy(), w0[m_out * m_in :].copy()
    W_printed = W.T + (response.U @ (lam - lam0)) * response.W_response.T
    for j in range(m_out):
        W[j] += response.U[j] @ (lam - lam0) * response.W_response[j]
        b[j] += response.V[j] @ (lam - lam0) * response.b_response[j]
    g = rng.normal(size=w0.size)
    return max(
        relative_error(moved, np.append(W, b)),
        relative_error(moved, np.append(W_printed.T, b)),
        relative_error(centred_weights(response.Theta, w0, lam, lam0), moved),
        relative_error(response.adjoint(g), response.Theta.T @ g, np.abs(response.Theta.T) @ np.abs(g)),
    )


@claim("3.14", "Its gradients in U, V and both responses are the chain rule's through Θε.", DIFFERENCE)
def eqn_3_14_gradient(rng: Generator) -> float:
    response, g, c = layer(rng, 3, 2, 4), rng.normal(size=8), rng.normal(size=4)
    gradient, errors = response.gradient(c, g), []
    for name, point in vars(response).items():
        desired = central_difference(lambda x, name=name: g @ replace(response, **{name: x}).apply(c), point)
        errors.append(relative_error(vars(gradient)[name], desired))
    return max(errors)


@claim(
    "3.14",
    "It takes m_{i+1}(2m_i + h) numbers for the weights and m_{i+1}(2 + h) for the bias, fewer than the "
    "(m_i + 1)m_{i+1}(h + 1) of a full Θ and w0 once (m_i + 1)(h - 1) > 2h.",
    BOUND,
    correction="both counts are called significantly smaller than the full Jacobian: beside the layer's, "
    "(m_i + 1)m_{i+1}h, the weights' is smaller only for h > 2 and the bias's for m_i h > 2; beside their own parts of "
    "it the weights' only where (m_i - 1)(h - 2) > 2, and the bias's never",
)
def eqn_3_14_counts(rng: Generator) -> Measured:
    wrong, excess = 0, np.inf
    for m_in, m_out, h in product(range(1, 6), repeat=3):
        response = layer(rng, m_in, m_out, h)
        weights = 2 * response.W_response.size + response.U.size  # W_general is as large as W_response
        bias = 2 * response.b_response.size + response.V.size
        full = response.Theta.size
        wrong += dense_parameters(m_in, m_out, h) != (weights, bias)
        wrong += (weights + bias < full + len(response.Theta)) != ((m_in + 1) * (h - 1) > 2 * h)
        wrong += ((weights < full), (bias < full)) != ((h > 2), (m_in * h > 2))
        wrong += ((weights < m_out * m_in * h), (bias < m_out * h)) != ((m_in - 1) * (h - 2) > 2, False)
        excess = min(excess, weights / full - 1) if h == 1 else excess
    few, many = (sum(dense_parameters(1200, 1200, h)) / (1201 * 1200 * (h + 1)) for h in (1, 26))
    detail = f"of a full one with 1200 inputs and units: {few:.4g} at h = 1, {many:.2g} at 26"
    return Measured(float(wrong), detail, printed=excess)
