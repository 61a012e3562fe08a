"""Appendix H.1: the objectives of ridge regression and input dropout, and the validation loss (H.1 to H.3)."""

from dataclasses import replace
from itertools import product

import numpy as np
from numpy.random import Generator
from scipy.special import expit

from reference.claims import instances
from reference.claims.registry import DIFFERENCE, EXACT, Measured, claim
from reference.claims.routes import central_difference, relative_error
from reference.problems.dropout import InputDropout, MaskedRegression
from reference.problems.ridge import Ridge


@claim(
    "H.1",
    "Undivided (figure 8), the penalty exp(λ)/2 ‖w‖² is H.1's at λ + log n: the same losses, best responses and "
    "hypergradients.",
    EXACT,
    correction="'the regularization penalty λ' starts at 1 or 50: that is exp(λ), for λ = 50 leaves no weights",
)
def eqn_h_1(rng: Generator) -> Measured:
    undivided, lam = instances.ridge(rng, divided=False)
    arrays = undivided.X, undivided.t, undivided.X_valid, undivided.t_valid
    divided, shifted = Ridge(*arrays, divisor=float(undivided.n)), lam + np.log(undivided.n)
    w = rng.normal(size=undivided.X.shape[1])
    residual = undivided.X @ w - undivided.t
    value = residual @ residual / (2 * len(residual)) + np.exp(lam[0]) / 2 * w @ w
    pairs = [
        (divided.train_loss(shifted, w), value),
        (undivided.train_loss(lam, w), value),
        (divided.grad_w(shifted, w), undivided.grad_w(lam, w)),
        (divided.best_response(shifted), undivided.best_response(lam)),
        (divided.hypergradient(shifted), undivided.hypergradient(lam), undivided.outer_loss(lam)),
    ]
    meant, printed = (divided.best_response(start) for start in (np.log([50.0]), np.array([50.0])))
    shrunk = np.linalg.norm(printed) / np.linalg.norm(meant)
    return Measured(
        max(relative_error(*pair) for pair in pairs),
        f"at λ = 50 the weights are {shrunk:.1g} of those at exp(λ) = 50",
        printed=relative_error(printed, meant),
    )


def mean_over_masks(problem: InputDropout, lam: np.ndarray, w: np.ndarray) -> np.ndarray:
    """E_R of Eqn. H.2 and of its gradient, mask by mask: a sum over rows, so all may have the same of the 2^m masks."""
    p, m = float(expit(lam[0])), problem.X.shape[1]
    total = np.zeros(1 + m)
    for mask in product((0.0, 1.0), repeat=m):
        uniforms = np.broadcast_to(np.array(mask), problem.X.shape)  # 0 is below every rate, 1 above
        masked = MaskedRegression(problem.X, problem.t, uniforms, problem.inverted)
        chance = p ** (m - sum(mask)) * (1 - p) ** sum(mask)
        total += chance * np.append(masked.train_loss(lam, w), masked.grad_w(lam, w))
    return total


@claim(
    "H.2",
    "In expectation over masks it is ridge in the metric D = diag(XᵀX), with penalty p/q = exp(λ) for λ = logit p, the "
    "kept inputs divided by q = 1 - p.",
    EXACT,
    correction="R_ij ~ Bern(λ) keeps an input with probability λ, which the text calls the dropout rate: R_ij ~ "
    "Bern(1 - p), p the rate",
)
def eqn_h_2(rng: Generator) -> Measured:
    problem, lam = instances.dropout(rng)
    w, root = rng.normal(size=problem.X.shape[1]), np.sqrt(np.sum(problem.X**2, axis=0))
    X, t = problem.X / root, problem.t  # ridge in the weights √D w
    ridge = Ridge(X, t, problem.X_valid / root, problem.t_valid, divisor=float(problem.n))
    masks = mean_over_masks(problem, lam, w)
    errors = (
        relative_error(np.append(problem.train_loss(lam, w), problem.grad_w(lam, w)), masks),
        relative_error(np.append(ridge.train_loss(lam, root * w), root * ridge.grad_w(lam, root * w)), masks),
        relative_error(problem.best_response(lam), ridge.best_response(lam) / root),
        relative_error(problem.best_response_jacobian(lam)[:, 0], ridge.best_response_jacobian(lam)[:, 0] / root),
        relative_error(problem.hypergradient(lam), ridge.hypergradient(lam), ridge.outer_loss(lam)),
    )
    # An input stays with the probability p, as printed, where it is dropped at the rate 1 - p, whose logit is -λ.
    to_the_letter = replace(problem, inverted=False)
    printed = relative_error(mean_over_masks(to_the_letter, -lam, w)[0], to_the_letter.train_loss(lam, w))
    return Measured(max(errors), printed=printed)


@claim(
    "H.2",
    "As printed, without the division, it is (1/2n)(‖qXw - t‖² + pq wᵀDw): its best response is 1/q times the other's.",
    EXACT,
)
def eqn_h_2_unscaled(rng: Generator) -> float:
    problem, lam = instances.dropout(rng, inverted=False)
    scaled = InputDropout(problem.X, problem.t, problem.X_valid, problem.t_valid)
    w, p = rng.normal(size=problem.X.shape[1]), expit(lam[0])
    q, D = 1 - p, np.sum(problem.X**2, axis=0)
    r, along = problem.best_response(lam), scaled.best_response_jacobian(lam)[:, 0]
    residual = q * problem.X @ w - problem.t
    value = (residual @ residual + p * q * D @ w**2) / (2 * len(residual))
    return max(
        relative_error(mean_over_masks(problem, lam, w), np.append(value, problem.grad_w(lam, w))),
        relative_error(problem.train_loss(lam, w), value),
        relative_error(q * r, scaled.best_response(lam)),
        # d(qr)/dλ by the product rule, dq/dλ being -pq.
        relative_error(q * problem.best_response_jacobian(lam)[:, 0] - p * q * r, along),
    )


@claim("H.3", "The validation loss is half the mean square over the v validation rows, free of λ.", DIFFERENCE)
def eqn_h_3(rng: Generator) -> float:
    problem, lam = instances.ridge(rng)
    w = rng.normal(size=problem.X.shape[1])
    loop = sum((row @ w - t) ** 2 for row, t in zip(problem.X_valid, problem.t_valid, strict=True))
    gradient = central_difference(lambda w: problem.valid_loss(lam, w), w)
    hessian = central_difference(lambda w: problem.valid_grad_w(lam, w), w)
    return max(
        relative_error(problem.valid_loss(lam, w), loop / (2 * len(problem.t_valid))),
        relative_error(problem.valid_grad_w(lam, w), gradient),
        relative_error(problem.valid_hess_vv(lam, w), hessian),
        float(np.abs(problem.valid_grad_lam(lam, w)).max()),
    )
