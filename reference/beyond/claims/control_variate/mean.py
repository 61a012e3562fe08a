"""Beyond the paper: for which step the control variate keeps the mean, and which noise of batches it leaves."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.random import Generator

from reference.beyond.claims.control_variate.variance import measured_covariance, plain, reduced
from reference.beyond.control_variate.updates import DELTA_STN_CV, inner_step
from reference.beyond.control_variate.variance import minibatch_variance, slope
from reference.bilevel.objective import TrainingObjective
from reference.claims import instances
from reference.claims.instances import Setting, positive_definite
from reference.claims.registry import EXACT, Measured, claim
from reference.claims.routes import differs, relative_error
from reference.problems.quadratic import Quadratic, QuadraticProblem
from reference.rule.hypernet import FullResponse
from reference.rule.perturbation import expectation
from reference.rule.updates import DELTA_STN, Method


def gradient(method: Method, problem: TrainingObjective, point: Setting, eps: np.ndarray, alpha: float) -> np.ndarray:
    """Θ's gradient in a step of Alg. 1 with α_1 = α, in which the paper's w0 moves first."""
    after = inner_step(method, point.state, eps, problem, problem, alpha).response
    assert isinstance(after, FullResponse)
    return (point.Theta - after.Theta) / alpha


def batches(rng: Generator, k: int = 3, m: int = 3, h: int = 2) -> tuple[list[QuadraticProblem], Setting]:
    """C.9 for each of k batches, equally likely, and a point with equal scales."""
    losses = []
    for _ in range(k):
        A, B, d = positive_definite(rng, m), rng.normal(size=(m, h)), rng.normal(size=m)
        losses.append(Quadratic(A, B, np.eye(h), d, np.zeros(h), np.float64(0)))
    point = Setting(rng.normal(size=h), np.full(h, rng.uniform(0.2, 1.0)), rng.normal(size=m), rng.normal(size=(m, h)))
    return [QuadraticProblem(loss, loss) for loss in losses], point


@claim(
    "beyond 31",
    "Alg. 1 moves w0 to w0 - αg0 before Θ's step. For C.9 its mean is the control variate's all the same; for ridge, "
    "at a = e^{λ+σ²/2}, it is αaσ²g0/n less.",
    EXACT,
)
def moved_mean(rng: Generator) -> Measured:
    (quadratic,), point = batches(rng, k=1)
    means = [expectation(lambda eps, m=m: gradient(m, quadratic, point, eps, 0.1), point.sigma, 3) for m in PAIR]
    errors = [relative_error(*means, point.Theta, quadratic.grad_w(point.lam, point.w0))]
    ridge, lam = instances.ridge(rng)
    point = instances.setting(rng, ridge, lam)
    a, g0, shares = np.exp(lam + point.sigma**2 / 2), ridge.grad_w(lam, point.w0), []
    for alpha in (0.1, 0.01):
        paper, corrected = (
            expectation(lambda eps, m=m, s=alpha: gradient(m, ridge, point, eps, s), point.sigma) for m in PAIR
        )
        desired = -alpha * a * point.sigma**2 * g0[:, None] / ridge.divisor
        errors.append(relative_error(paper - corrected, desired, paper, point.Theta / alpha))
        shares.append(np.linalg.norm(desired) / np.linalg.norm(corrected))
    return Measured(max(errors), f"for ridge {shares[0]:.0%} of the mean at α = 0.1, {shares[1]:.1%} at 0.01")


PAIR = (DELTA_STN, DELTA_STN_CV)


@claim(
    "beyond 32",
    "On a mini-batch b of C.9 Θ's gradient divided by σ² has, with the control variate, variance (h+2)E‖M_b‖² - ‖E "
    "M_b‖² over ε and batches, and hE‖g_b‖²/σ² more without it: at Θ = -A⁻¹B of all rows, where beyond 6 has none, "
    "(h+2)E‖M_b‖² is left.",
    EXACT,
)
def minibatches(rng: Generator) -> Measured:
    losses, point = batches(rng)
    whole = np.mean([loss.train.A for loss in losses], axis=0), np.mean([loss.train.B for loss in losses], axis=0)
    errors, h, sigma = [], point.lam.size, point.sigma[0]
    for Theta in (point.Theta, -np.linalg.solve(*whole)):
        here = replace(point, Theta=Theta)
        M = np.array([slope(loss, here.lam, here.w0, Theta) for loss in losses])
        g = np.array([loss.grad_w(here.lam, here.w0) for loss in losses])
        squares, mean = np.mean(np.sum(M**2, axis=(1, 2))), np.sum(np.mean(M, axis=0) ** 2)
        desired = np.array([(h + 2) * squares - mean, h * np.mean(np.sum(g**2, axis=1)) / sigma**2])
        desired[1] += desired[0]
        actual = np.array([batch_variance(losses, here, kind) for kind in (reduced, plain)])
        closed = np.array([minibatch_variance(M, b, here.sigma) for b in (0 * g, g)])
        errors += [relative_error(actual, desired), relative_error(closed, desired)]
    errors += [float(mean > 1e-20), differs(squares)]
    return Measured(max(errors), f"at -A⁻¹B the control variate leaves {desired[0] / desired[1]:.0%} of the variance")


def batch_variance(losses: list[QuadraticProblem], point: Setting, kind: Callable) -> float:
    """Of Θ's gradient divided by σ², over batches and, by quadrature, ε: variances within and between batches."""
    means = np.array([expectation(kind(loss, point), point.sigma, nodes=3) for loss in losses])
    within = [np.einsum("ijij->", measured_covariance(kind(loss, point), point.sigma, nodes=3)) for loss in losses]
    between = np.mean(np.sum((means - means.mean(axis=0)) ** 2, axis=(1, 2)))
    return float((np.mean(within) + between) / point.sigma[0] ** 4)


@claim(
    "beyond 33",
    "For C.9 and ε at the 2h points ±√h σ_ie_i, the mean of Θ after three steps is the same with the control variate "
    "and without it, momentum of 0.9 or none; after one step of clipped length or of Adam it is not.",
    EXACT,
)
def nonlinear_steps(rng: Generator) -> Measured:
    (quadratic,), point = batches(rng, k=1)
    h = point.lam.size
    # A small σ and a g0 of no small entry, whose noise then decides what is clipped.
    g0 = rng.uniform(1.0, 2.0, point.w0.size)
    w0 = quadratic.best_response(point.lam) + np.linalg.solve(quadratic.train.A, g0)
    point = replace(point, sigma=np.full(h, 0.05), w0=w0)
    points = np.concatenate([np.sqrt(h) * np.diag(point.sigma), -np.sqrt(h) * np.diag(point.sigma)])
    with_it, without = ([gradient(m, quadratic, point, eps, 0.1) for eps in points] for m in reversed(PAIR))
    errors = []
    for momentum in (0.0, 0.9):
        ends = [
            np.mean([end(m, quadratic, point, draws, momentum) for draws in product(points, repeat=3)], axis=0)
            for m in PAIR
        ]
        errors.append(relative_error(*ends, point.Theta))
    limit = np.median([np.linalg.norm(G) for G in (*with_it, *without)])
    shifts = []
    for rule in (lambda G: G * min(1.0, limit / np.linalg.norm(G)), np.sign):  # Adam's first step is the sign
        means = [np.mean([rule(G) for G in gradients], axis=0) for gradients in (with_it, without)]
        shifts.append(np.linalg.norm(means[0] - means[1]) / np.linalg.norm(means[0]))
        errors.append(differs(shifts[-1]))
    return Measured(
        max(errors), f"the mean moves by {shifts[0]:.0%} clipped, by {shifts[1]:.0%} under Adam's first step"
    )


def end(method: Method, problem: QuadraticProblem, point: Setting, draws: tuple, momentum: float) -> np.ndarray:
    """Θ after a step of size 0.1 for each draw of ε."""
    velocity = np.zeros_like(point.Theta)
    for eps in draws:
        velocity = momentum * velocity + gradient(method, problem, point, eps, 0.1)
        w0 = point.w0 - 0.1 * problem.grad_w(point.lam, point.w0)
        point = replace(point, w0=w0, Theta=point.Theta - 0.1 * velocity)
    return point.Theta
