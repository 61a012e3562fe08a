"""Sections 3.3 and 3.4: the linearised network and the structured response (Eqns. 3.11 to 3.14)."""

from dataclasses import replace
from itertools import product

import numpy as np
from numpy.random import Generator

from reference.claims import instances
from reference.claims.numerics import central_difference, order, relative_error
from reference.claims.registry import BOUND, DIFFERENCE, EXACT, SLOPE, Measured, claim
from reference.hypernet import FullResponse, centred_weights
from reference.networks import Network
from reference.structured import StructuredResponse, dense_parameters
from reference.updates import CENTERED_STN, DELTA_STN, perturbed_gradient


@claim("3.11", "f(w) - f(w0) - J_yw(w - w0) is of second order, for a linear and for a saturating network.", SLOPE)
def eqn_3_11(rng: Generator) -> float:
    linear, _, w0 = instances.network(rng)
    saturating, _ = instances.saturating(rng)

    def miss(f: Network, at: np.ndarray) -> float:
        moves = rng.normal(size=(5, at.size))
        return abs(order(lambda t: f(at + t * moves) - f(at) - f.jvp(at, t * moves)) - 2)

    return max(miss(linear.f, w0), miss(saturating.f, rng.normal(size=saturating.c.shape)))


@claim("3.11", "It is exact for a model linear in its weights: Δ-STN's and Centered STN's gradients are one.", EXACT)
def eqn_3_11_linear(rng: Generator) -> float:
    errors = []
    for problem, lam in (instances.ridge(rng), instances.dropout(rng), instances.weightwise(rng)):
        at, eps = instances.setting(rng, problem, lam), rng.normal(size=lam.shape)
        full, linearised = (
            perturbed_gradient(method, problem, lam + eps, at.w0, at.Theta @ eps)
            for method in (CENTERED_STN, DELTA_STN)
        )
        errors.append(relative_error(linearised, full))
    return max(errors)


@claim(
    "3.12, 3.13",
    "Since r_θ(λ0, λ0) = w0 and Δw = Θε, the outputs at λ0+ε are f(w0) + J_yw Θε to second order in ε.",
    SLOPE,
)
def eqns_3_12_and_3_13(rng: Generator) -> float:
    problem, lam, w0 = instances.network(rng)
    Theta = rng.normal(size=(w0.size, 1))
    J = central_difference(problem.f, w0)

    def remainder(t: float) -> np.ndarray:
        w = centred_weights(Theta, w0, lam + t, lam)
        return problem.f(w) - problem.f(w0) - problem.f.jvp(w0, w - w0)

    here = relative_error(J @ Theta[:, 0], problem.f.jvp(w0, Theta[:, 0]))
    return max(abs(order(remainder) - 2), here)


@claim(
    "3.13",
    "Δ-STN's gradient is that of L_T(λ0+ε, f(w0) + J_yw Θε) in Θ: the loss is not linearised, the outputs are.",
    DIFFERENCE,
)
def eqn_3_13(rng: Generator) -> float:
    problem, lam, w0 = instances.network(rng)
    Theta, eps = rng.normal(size=(w0.size, 1)), rng.normal(size=1)
    y, J = problem.f(w0), central_difference(problem.f, w0)
    desired = central_difference(lambda T: problem.train_loss_v(lam + eps, y + J @ T @ eps), Theta)
    g = perturbed_gradient(DELTA_STN, problem, lam + eps, w0, Theta @ eps)
    return relative_error(FullResponse(Theta).gradient(eps, g).Theta, desired)


def layer(rng: Generator, m_in: int, m_out: int, h: int) -> StructuredResponse:
    """A random structured response."""
    return StructuredResponse(*(rng.normal(size=shape) for shape in ((m_out, m_in), (m_out,), (m_out, h), (m_out, h))))


@claim(
    "3.14",
    "It is Eqn. 3.1 with a structured Θ: unit j's weights move by (U(λ - λ0))_j times row j of W_response.",
    EXACT,
    correction="W is printed as m_i × m_{i+1}, but ⊙_row scales its rows by a vector of m_{i+1} numbers: W is "
    "m_{i+1} × m_i, one row for each unit",
)
def eqn_3_14(rng: Generator) -> float:
    m_in, m_out, h = (int(k) for k in rng.integers(1, 5, size=3))
    response, w0 = layer(rng, m_in, m_out, h), rng.normal(size=m_out * (m_in + 1))
    lam, lam0 = rng.normal(size=(2, h))
    moved = w0 + response.apply(lam - lam0)
    W, b = w0[: m_out * m_in].reshape(m_out, m_in).copy(), w0[m_out * m_in :].copy()
    for j in range(m_out):
        W[j] += response.U[j] @ (lam - lam0) * response.W_response[j]
        b[j] += response.V[j] @ (lam - lam0) * response.b_response[j]
    g = rng.normal(size=w0.size)
    return max(
        relative_error(moved, np.append(W, b)),
        relative_error(centred_weights(response.Theta, w0, lam, lam0), moved),
        relative_error(response.adjoint(g), response.Theta.T @ g, np.abs(response.Theta.T) @ np.abs(g)),
    )


@claim("3.14", "Its gradients in U, V and both responses are the chain rule's through Θε.", DIFFERENCE)
def eqn_3_14_gradient(rng: Generator) -> float:
    response, g, c = layer(rng, 3, 2, 2), rng.normal(size=8), rng.normal(size=2)
    found, errors = response.gradient(c, g), []
    for name, at in vars(response).items():
        desired = central_difference(lambda x, name=name: g @ replace(response, **{name: x}).apply(c), at)
        errors.append(relative_error(vars(found)[name], desired))
    return max(errors)


@claim(
    "3.14",
    "It takes m_{i+1}(2m_i + h) numbers for the weights and m_{i+1}(2 + h) for the bias, fewer than the "
    "(m_i + 1)m_{i+1}(h + 1) of a full Θ and w0 once (m_i + 1)(h - 1) > 2h.",
    BOUND,
    correction="both counts are called significantly smaller than the full Jacobian's; the bias's never is "
    "(2 + h > h), and the weights' only where (m_i - 1)(h - 2) > 2, so not with one or two hyperparameters",
)
def eqn_3_14_counts(rng: Generator) -> Measured:
    wrong = 0
    for m_in, m_out, h in product(range(1, 6), repeat=3):
        response = layer(rng, m_in, m_out, h)
        weights = 2 * response.W_response.size + response.U.size  # W_general is as large as W_response
        bias = 2 * response.b_response.size + response.V.size
        saves = weights + bias < response.Theta.size + response.Theta.shape[0]
        wrong += dense_parameters(m_in, m_out, h) != (weights, bias)
        wrong += saves != ((m_in + 1) * (h - 1) > 2 * h)
        wrong += (weights < m_out * m_in * h) != ((m_in - 1) * (h - 2) > 2)
    few, many = (sum(dense_parameters(1200, 1200, h)) / (1201 * 1200 * (h + 1)) for h in (1, 26))
    return float(wrong), f"of a full one with 1200 inputs and units: {few:.4g} at h = 1, {many:.2g} at 26"
