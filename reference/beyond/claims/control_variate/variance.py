"""Beyond the paper: Δ-STN with a control variate, Θ's gradient less ∇L_T(λ, w0) εᵀ (DELTA_STN_CV)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.random import Generator

from reference.beyond.control_variate.updates import DELTA_STN_CV, DELTA_STN_CV_NORMALISED, inner_step
from reference.beyond.control_variate.variance import covariance, normalised_variance, slope
from reference.bilevel.objective import TrainingObjective
from reference.bilevel.problem import Problem
from reference.claims import instances
from reference.claims.instances import Setting
from reference.claims.registry import EXACT, SLOPE, Measured, claim
from reference.claims.routes import mean_gradients, order, relative_error
from reference.problems.quadratic import QuadraticProblem
from reference.problems.ridge import Ridge
from reference.rule.hypernet import FullResponse
from reference.rule.perturbation import expectation, quadrature
from reference.rule.updates import DELTA_STN, Method, perturbed_gradient

Gradient = Callable[[np.ndarray], np.ndarray]
"""ε -> Θ's gradient at it."""


def reduced(problem: TrainingObjective, point: Setting, method: Method = DELTA_STN_CV) -> Gradient:
    """With the control variate, as the step takes it."""

    def gradient(eps: np.ndarray) -> np.ndarray:
        after = inner_step(method, point.state, eps, problem, problem, alpha1=1.0).response
        assert isinstance(after, FullResponse)
        return point.Theta - after.Theta

    return gradient


def plain(problem: TrainingObjective, point: Setting) -> Gradient:
    """The paper's, at w0."""
    return lambda eps: np.outer(
        perturbed_gradient(DELTA_STN, problem, point.lam + eps, point.w0, point.Theta @ eps), eps
    )


def measured_covariance(gradient: Gradient, sigma: np.ndarray, nodes: int) -> np.ndarray:
    """Cov[G_ij, G_kl] by quadrature."""
    points, weights = quadrature(sigma, nodes)
    off = np.array([gradient(eps) for eps in points]) - expectation(gradient, sigma, nodes)
    return np.einsum("z,zij,zkl->ijkl", weights, off, off)


def drawn(rng: Generator) -> tuple[QuadraticProblem, Setting, np.ndarray, np.ndarray]:
    """A quadratic problem, a point of it, and there M = B + AΘ and g0."""
    problem, lam = instances.quadratic(rng)
    point = instances.setting(rng, problem, lam)
    return problem, point, slope(problem, lam, point.w0, point.Theta), problem.grad_w(lam, point.w0)


@claim(
    "beyond 1",
    "Taking ∇L_T(λ, w0)εᵀ off Θ's gradient at w0 leaves its mean at that w0 as it was, for any loss, w0 and σ.",
    EXACT,
)
def unbiased(rng: Generator) -> float:
    errors = []
    for problem, lam in instances.problems(rng):
        point = instances.setting(rng, problem, lam)
        desired = mean_gradients(DELTA_STN, problem, point, nodes=6)[:, 1:]
        actual = expectation(reduced(problem, point), point.sigma, nodes=6)
        errors.append(relative_error(actual, desired, problem.grad_w(lam, point.w0), point.Theta))
    return max(errors)


@claim(
    "beyond 2",
    "For the quadratic C.9 Θ's gradient is (g0 + Mε)εᵀ with M = B + AΘ, and Mεεᵀ with the control variate: the "
    "covariance is smaller by g0g0ᵀ ⊗ diag(σ²), so no combination of its entries becomes noisier.",
    EXACT,
)
def quadratic_covariance(rng: Generator) -> Measured:
    problem, point, M, g0 = drawn(rng)
    without, with_it = (covariance(M, b, point.sigma) for b in (g0, 0 * g0))
    errors = (
        relative_error(measured_covariance(plain(problem, point), point.sigma, nodes=3), without),
        relative_error(measured_covariance(reduced(problem, point), point.sigma, nodes=3), with_it, point.Theta**2),
        relative_error(
            (without - with_it).reshape(M.size, -1), np.kron(np.outer(g0, g0), np.diag(point.sigma**2)), M**2
        ),
    )
    share = np.einsum("ijij->", with_it) / np.einsum("ijij->", without)
    return Measured(max(errors), f"{share:.0%} of the variance is left")


@claim(
    "beyond 3",
    "For C.9 with all h scales equal to σ, Θ's gradient divided by σ² has variance (h+1)‖M‖² with the control "
    "variate, whatever σ, and h‖g0‖²/σ² more without it.",
    EXACT,
)
def normalised(rng: Generator) -> Measured:
    problem, point, M, g0 = drawn(rng)
    h, errors, shares = point.lam.size, [], []
    for sigma in (1.0, 0.03):
        here = replace(point, sigma=np.full(h, sigma))
        bounded, growing = (h + 1) * np.sum(M**2), h * np.sum(g0**2) / sigma**2
        with_it, without = (np.sum(part) for part in normalised_variances(problem, here, nodes=3))
        terms = np.sum(point.Theta**2), growing
        errors += [relative_error(with_it, bounded, *terms), relative_error(without, bounded + growing, *terms)]
        errors += [
            relative_error(normalised_variance(M, b, here.sigma), bounded + x) for b, x in ((0 * g0, 0), (g0, growing))
        ]
        shares.append(1 + growing / bounded)
    return Measured(
        max(errors), f"without it {shares[0]:.3g} times the variance at σ = 1, {shares[1]:.3g} times at σ = 0.03"
    )


@claim(
    "beyond 4",
    "For any other smooth loss it tends to that as σ vanishes, with M = G_wΘ + ∂²L_T/∂w∂λ, and σ² times what it is "
    "without the control variate to h‖g0‖²: both with an error of order σ².",
    SLOPE,
)
def small_scales(rng: Generator) -> float:
    orders = []
    for problem, lam in (instances.ridge(rng), instances.weightwise(rng), instances.saturating(rng)):
        orders += orders_at(problem, instances.setting(rng, problem, lam))
    return max(abs(power - 2) for power in orders)


def orders_at(problem: Problem, point: Setting) -> list[float]:
    """At which order in σ both variances tend to their limits."""
    M, g0, ones = (
        slope(problem, point.lam, point.w0, point.Theta),
        problem.grad_w(point.lam, point.w0),
        np.ones_like(point.lam),
    )
    limits = np.einsum("ijij->ij", covariance(M, 0 * g0, ones)), np.outer(g0**2, ones)

    def remainder(sigma: float, k: int) -> np.ndarray:
        variance = normalised_variances(problem, replace(point, sigma=sigma * ones), nodes=6)[k]
        return sigma ** (2 * k) * variance - limits[k]

    # Even in σ: the next order is 1e-5 of this one. At a smaller step rounding, eps/σ³, would show.
    return [order(partial(remainder, k=k), step=3e-3) for k in (0, 1)]


def normalised_variances(problem: Problem, point: Setting, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each entry of Θ's gradient divided by σ², with the control variate and without."""
    gradients = reduced(problem, point, DELTA_STN_CV_NORMALISED), plain(problem, point)
    with_it, without = (np.einsum("ijij->ij", measured_covariance(g, point.sigma, nodes)) for g in gradients)
    return with_it, without / point.sigma**4


@claim(
    "beyond 5",
    "At large σ it can do harm: for ridge with x = 1, t in (2, 1 + 2√e), at w0 = 1, λ = 0, Θ = 0, σ = 1 it adds "
    "(2-t)² - 2(2-t)(1-t+2√e) > 0 to the variance.",
    EXACT,
)
def counterexample(rng: Generator) -> Measured:
    ones, t = np.ones((1, 1)), rng.uniform(2.1, 4.2)
    problem = Ridge(ones, np.array([t]), ones, ones[0], divisor=1.0)
    point = Setting(np.zeros(1), np.ones(1), np.ones(1), np.zeros((1, 1)))
    without, with_it = (measured_covariance(g(problem, point), point.sigma, nodes=40).item() for g in (plain, reduced))
    desired = (2 - t) ** 2 - 2 * (2 - t) * (1 - t + 2 * np.exp(0.5))
    error = relative_error(with_it - without, desired, without, with_it)
    return Measured(max(error, float(desired <= 0)), f"{with_it / without:.3g} times the variance at t = {t:.3g}")
