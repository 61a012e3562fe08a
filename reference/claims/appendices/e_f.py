"""Appendices E and F: the structured response for convolutions (E.1), and the transform s (F.1)."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator
from scipy.signal import correlate

from reference.bilevel.transforms import Exp, Linear, Logistic, Transform
from reference.claims import instances
from reference.claims.instances import Setting
from reference.claims.registry import BOUND, DIFFERENCE, EXACT, claim
from reference.claims.routes import NODES, central_difference, mean_gradients, relative_error
from reference.problems.ridge import Ridge
from reference.rule.hypernet import centred_weights
from reference.rule.perturbation import expectation
from reference.rule.structured import StructuredResponse, convolution_parameters
from reference.rule.updates import CENTERED_STN


@claim(
    "E.1",
    "It is Eqn. 3.14 with kernels for rows, so a special case of Eqn. 3.1: the output of filter c moves by "
    "(λ - λ0)ᵀu_c times that of W_response, and by (λ - λ0)ᵀv_c b_response.",
    EXACT,
)
def eqn_e_1(rng: Generator) -> float:
    c_in, c_out, kernel, h = 2, 3, 3, int(rng.integers(2, 4))
    W, b, u, v = (rng.normal(size=s) for s in ((c_out, c_in, kernel, kernel), (c_out,), (c_out, h), (c_out, h)))
    general, image, move = rng.normal(size=W.size + c_out), rng.normal(size=(c_in, 6, 6)), rng.normal(size=h)
    response = StructuredResponse(W.reshape(c_out, -1), b, u, v)
    weights, bias = response.split(centred_weights(response.Theta, general, move, 0 * move))
    errors = [relative_error(response.apply(move), response.Theta @ move)]
    for c in range(c_out):
        output = correlate(image, weights[c].reshape(W[c].shape), mode="valid") + bias[c]
        before = correlate(image, general[: W.size].reshape(W.shape)[c], mode="valid") + general[W.size + c]
        changed = move @ u[c] * correlate(image, W[c], mode="valid") + move @ v[c] * b[c]
        errors.append(relative_error(output, before + changed, before, changed))
    return max(errors)


@claim(
    "E.1",
    "A layer takes 2p + 2hC_i numbers, p being those of the ordinary layer: counted in a response and the weights that "
    "it moves.",
    BOUND,
)
def eqn_e_1_counts(rng: Generator) -> float:
    c_in, c_out, kernel, h = (int(k) for k in rng.integers(2, 6, size=4))
    W, b, u, v = np.ones((c_out, c_in * kernel**2)), np.ones(c_out), np.ones((c_out, h)), np.ones((c_out, h))
    response = StructuredResponse(W, b, u, v)
    moved = response.apply(np.ones(h)).size
    counted = moved + sum(part.size for part in vars(response).values())
    p = c_out * c_in * kernel**2 + c_out
    return float(
        abs(moved - p)
        + abs(counted - (2 * p + 2 * h * c_out))
        + abs(counted - convolution_parameters(c_in, c_out, kernel, h))
    )


@claim(
    "F.1",
    "s stands in the loss alone, the response multiplies ε itself: Θ's mean gradient is E[g εᵀ] with G.1's gradient g "
    "at the penalty s(λ0 + ε) and the weights w0 + Θε, and the Jacobian is G.1's times s'(λ0), for s exp (H.1) and the "
    "logistic onto (0, 50).",
    EXACT,
)
def eqn_f_1(rng: Generator) -> float:
    errors = []
    for s, value, slope in (
        (Exp(), np.exp, np.exp),
        (Logistic(0.0, 50.0), lambda x: 50 / (1 + np.exp(-x)), lambda x: 50 * np.exp(-x) / (1 + np.exp(-x)) ** 2),
    ):
        ridge, lam = instances.ridge(rng, s=s)
        point, plain = instances.setting(rng, ridge, lam), replace(ridge, s=Linear())

        def by_hand(eps: np.ndarray, point: Setting = point, plain: Ridge = plain, value: Any = value) -> np.ndarray:
            return np.outer(plain.grad_w(value(point.lam + eps), point.w0 + point.Theta @ eps), eps)

        learned, desired = mean_gradients(CENTERED_STN, ridge, point)[:, 1:], expectation(by_hand, point.sigma, NODES)
        chain = plain.best_response_jacobian(value(lam)) * slope(lam)
        errors.append(relative_error(learned, desired, ridge.grad_w(lam, point.w0)))
        errors.append(relative_error(ridge.best_response_jacobian(lam), chain))
    return max(errors)


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
