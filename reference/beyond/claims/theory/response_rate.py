"""Beyond the paper: Θ of softmax regression learns at the rate of the training loss, and stops where that is gone."""

import numpy as np
from numpy.random import Generator

from reference.beyond.control_variate.updates import DELTA_STN_CV_NORMALISED, inner_step
from reference.beyond.problems.logistic import Logistic
from reference.beyond.problems.softmax import cross_entropy, cross_entropy_gradient
from reference.beyond.theory.response_rate import best_response_path, curvature_bound, descent_errors
from reference.claims.instances import Setting
from reference.claims.registry import BOUND, DIFFERENCE, Measured, claim
from reference.claims.routes import central_difference, relative_error
from reference.rule.hypernet import FullResponse


def separable(rng: Generator, classes: int = 3, rows: int = 4) -> Logistic:
    """A few rows of each class around a corner each, told apart by a margin; decay e^λ is tuned."""
    t = np.repeat(np.arange(classes), rows)
    X = 2 * np.eye(classes)[t] + 0.2 * rng.uniform(-1, 1, size=(t.size, classes))
    return Logistic(X, t, X, t, classes=classes, divisor=float(t.size))


@claim(
    "beyond 29",
    "Cross entropy of logits linear in w: tr H_y = 1 - ‖p‖² ≤ 2(1 - p_t) ≤ 2ℓ for each row, so its Hessian in w is at "
    "most 2 max‖x_i‖² L_T; and no constant below 2 would do.",
    BOUND,
)
def curvature(rng: Generator) -> Measured:
    n, p, c = 5, 3, int(rng.integers(2, 5))
    X, labels = rng.normal(size=(n, p)), rng.integers(0, c, n)
    T, w = np.eye(c)[labels], rng.normal(size=c * p)
    hessian = central_difference(lambda w: cross_entropy_gradient(X, T, w), w)
    missed = [np.linalg.eigvalsh(hessian)[-1] - curvature_bound(X, cross_entropy(X, T, w))]
    probabilities = rng.dirichlet(np.ones(c), size=20)
    for q in probabilities:
        trace = np.trace(np.diag(q) - np.outer(q, q))
        missed += [trace - 2 * (1 - q[0]), 2 * (1 - q[0]) + 2 * np.log(q[0])]
    # One row that is fitted to a margin of 9: two classes, 1 - p_t = 1.2e-4.
    x, hot, margin = np.ones((1, 1)), np.array([[1.0, 0.0]]), np.array([4.5, -4.5])
    sharp = np.linalg.eigvalsh(central_difference(lambda w: cross_entropy_gradient(x, hot, w), margin))[-1]
    share = sharp / curvature_bound(x, cross_entropy(x, hot, margin))
    missed += [0.999 - share, share - 1]
    return Measured(max(0.0, *missed), f"{share:.4%} of the bound reached")


def mean_step(problem: Logistic, point: Setting) -> np.ndarray:
    """Θ's step divided by ασ², its mean over ε = ±σ; with w0 = r(λ) Δ-STN's own, less rounding's share in g0."""
    ends = []
    for eps in (point.sigma, -point.sigma):
        after = inner_step(DELTA_STN_CV_NORMALISED, point.state, eps, problem, problem, alpha1=1.0).response
        assert isinstance(after, FullResponse)
        ends.append(after.Theta)
    return np.mean(ends, axis=0) - point.Theta


@claim(
    "beyond 30",
    "Separable softmax regression tuned by its decay, w0 = r(λ): Θ's mean step is -ασ²G_w(Θ - ∂r/∂λ), at most ασ²(2 "
    "max‖x_i‖² L_T + e^λ/n)‖Θ - ∂r/∂λ‖ long. From λ = 0 to -9 it falls more than a hundredfold and ∂r/∂λ does not: Θ "
    "stops with α fixed and goes on with α ∝ 1/L_T.",
    DIFFERENCE,
)
def stops(rng: Generator) -> Measured:
    problem, Theta, errors, lengths = separable(rng), rng.normal(size=(9, 1)), [], []
    for lam in (np.zeros(1), np.full(1, -9.0)):
        path, r = best_response_path(problem, lam[None]), problem.best_response(lam)
        step = mean_step(problem, Setting(lam, np.full(1, 1e-4), r, Theta))
        away = Theta - path.J[0][:, None]
        bound = curvature_bound(problem.X, path.loss[0]) + np.exp(lam[0]) / problem.n
        errors += [
            relative_error(step, -path.G[0] @ away),
            max(0.0, np.linalg.norm(step) / np.linalg.norm(away) - bound),
        ]
        lengths.append((np.linalg.norm(step), np.linalg.norm(path.J)))
    (early, J_early), (late, J_late) = lengths
    errors.append(float(not (early > 100 * late and 0.5 < J_late / J_early < 2)))
    lam = np.maximum(-0.15 * np.arange(200.0), -9.0)[:, None]
    path = best_response_path(problem, lam)
    alpha = np.full(200, 0.5 / np.linalg.eigvalsh(path.G[0])[-1])
    plain, free = (descent_errors(path, step)[[60, -1]] for step in (alpha, alpha * path.loss[0] / path.loss))
    errors += [float(not plain[1] > 0.9 * plain[0]), float(not free[1] < 0.1 * plain[1])]
    left = plain[1] / plain[0], free[1] / free[0]
    return Measured(max(errors), f"140 steps leave {left[0]:.0%} of Θ's error, and {left[1]:.1%} with α ∝ 1/L_T")
