"""Appendices E and F: the structured response for convolutions (E.1), and the transform s (F.1)."""

import numpy as np
from numpy.random import Generator
from scipy.signal import correlate

from reference.claims import instances
from reference.claims.numerics import NODES, central_difference, relative_error
from reference.claims.registry import BOUND, DIFFERENCE, EXACT, claim
from reference.hypernet import centred_weights
from reference.perturbation import expectation
from reference.ridge import Ridge
from reference.structured import StructuredResponse, convolution_parameters
from reference.transforms import Exp, Linear, Logistic, Transform


@claim(
    "E.1",
    "It is Eqn. 3.14 with kernels for rows, so a special case of Eqn. 3.1: the output of filter c moves by "
    "(λ - λ0)ᵀu_c times that of W_response, and by (λ - λ0)ᵀv_c b_response.",
    EXACT,
)
def eqn_e_1(rng: Generator) -> float:
    c_in, c_out, kernel, h = 2, 3, 3, int(rng.integers(1, 4))
    W, b, u, v = (rng.normal(size=s) for s in ((c_out, c_in, kernel, kernel), (c_out,), (c_out, h), (c_out, h)))
    general, image, move = rng.normal(size=W.size + c_out), rng.normal(size=(c_in, 6, 6)), rng.normal(size=h)
    response = StructuredResponse(W.reshape(c_out, -1), b, u, v)
    weights, bias = response.split(centred_weights(response.Theta, general, move, 0 * move))
    for c in range(c_out):
        found = correlate(image, weights[c].reshape(W[c].shape), mode="valid") + bias[c]
        before = correlate(image, general[: W.size].reshape(W.shape)[c], mode="valid") + general[W.size + c]
        changed = move @ u[c] * correlate(image, W[c], mode="valid") + move @ v[c] * b[c]
        if (error := relative_error(found, before + changed, before, changed)) > EXACT:
            return error
    return relative_error(response.apply(move), response.Theta @ move)


@claim("E.1", "A layer takes 2p + 2hC_i numbers, p being those of the ordinary layer.", BOUND)
def eqn_e_1_counts(rng: Generator) -> float:
    c_in, c_out, kernel, h = (int(k) for k in rng.integers(1, 6, size=4))
    one_filter = (2 * c_in * kernel**2 + h) + (2 * 1 + h)
    p = c_out * c_in * kernel**2 + c_out
    counted = convolution_parameters(c_in, c_out, kernel, h)
    return float(abs(counted - c_out * one_filter) + abs(counted - (2 * p + 2 * h * c_out)))


@claim(
    "F.1",
    "With s in the loss alone, the objective is that of the transformed loss at an untransformed perturbation: H.1's "
    "with exp is G.1's at exp(λ0 + ε), for the same w0 and Θ.",
    EXACT,
)
def eqn_f_1(rng: Generator) -> float:
    ridge, lam = instances.ridge(rng)
    at = instances.setting(rng, ridge, lam)
    plain = Ridge(ridge.X, ridge.t, ridge.X_valid, ridge.t_valid, ridge.divisor, s=Linear())

    def losses(eps: np.ndarray) -> np.ndarray:
        w = centred_weights(at.Theta, at.w0, lam + eps, lam)
        return np.array([ridge.train_loss(lam + eps, w), plain.train_loss(np.exp(lam + eps), w)])

    inside, transformed = expectation(losses, at.sigma, NODES)
    chain = plain.best_response_jacobian(np.exp(lam)) * np.exp(lam)
    return max(relative_error(inside, transformed), relative_error(ridge.best_response_jacobian(lam), chain))


@claim(
    "F.1",
    "s maps every λ into the domain of its hyperparameter, with a derivative, and back: exp onto (0, ∞), the logistic "
    "onto an open interval.",
    DIFFERENCE,
)
def appendix_f(rng: Generator) -> float:
    lam = rng.uniform(-3, 3, 4)

    def error(s: Transform) -> float:
        outside = float(np.any((s(lam) <= s.low) | (s(lam) >= s.high)))
        back = relative_error(np.array([s.inverse(x) for x in s(lam)]), lam)
        return max(outside, back, relative_error(np.diag(s.derivative(lam)), central_difference(s, lam)))

    return max(error(s) for s in (Exp(), Linear(), Logistic(), Logistic(0.0, 0.95), Logistic(-1.0, 24.0)))
