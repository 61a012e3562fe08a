"""Differences of the outer loss: exact ones, central ones, and smoothed ones, whose mean is known by quadrature."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reference.beyond.estimators.closed_form import CentralDifferences, EvolutionStrategies, Exact, slope
from reference.bilevel.problem import Problem
from reference.bilevel.transforms import Exp
from reference.problems.quadratic import QuadraticProblem
from reference.problems.ridge import Ridge
from reference.rule.perturbation import expectation
from tests.reference.beyond.estimators.test_implicit import any_rng, single
from tests.strategies import EXACT, Case, Desired, differences, exactly, problems, quadratics, ridges, seeds


def slope_of_the_outer_loss(problem: Problem, lam: np.ndarray) -> Desired:
    """By differences, to the rounding of what cancels in a residual of the validation set: at w = 0 its targets."""
    at_zero = problem.valid_loss(lam, np.zeros_like(problem.best_response(lam)))
    return differences(problem.outer_loss, lam, at_zero)


@given(problems(single))
def test_exact_is_the_slope_of_the_outer_loss(case: Case[Problem]):
    problem, lam = case.problem, case.lam
    actual = Exact()(problem, lam, case.w, 0.0, any_rng).gradient
    assert_allclose(actual, *slope_of_the_outer_loss(problem, lam))
    assert_allclose(actual, *exactly(problem.hypergradient(lam)))


@given(problems(single))
def test_central_differences_are_those_of_the_outer_loss(case: Case[Problem]):
    problem, lam = case.problem, case.lam
    actual = CentralDifferences()(problem, lam, case.w, 0.0, any_rng).gradient
    _, rtol, atol = slope_of_the_outer_loss(problem, lam)
    assert_allclose(actual, problem.hypergradient(lam), rtol=rtol, atol=atol)


@settings(max_examples=10)
@given(quadratics(single), seeds, st.integers(1, 9), st.floats(0.1, 2.0))
def test_on_a_quadratic_each_pair_projects_the_hypergradient_on_its_direction(
    case: Case[QuadraticProblem], seed: int, pairs: int, sigma: float
):
    problem, lam, (m, h) = case.problem, case.lam, (len(case.w), len(case.lam))
    # n = m/2: XᵀX is m/4 gradients, a solution (m³/3 + 2m²)/2m².
    price = m / 4 + pairs * 2 * (1 / 3 + m / 6 + 1)
    actual = EvolutionStrategies(sigma=sigma)(problem, lam, case.w, price, np.random.default_rng(seed))
    z = np.random.default_rng(seed).standard_normal((pairs, h))
    # F is quadratic, so that (F(λ+σz) - F(λ-σz))/2σ is zᵀ∇F to rounding, at any σ.
    losses = [problem.outer_loss(lam + sigma * sign * item) for item in z for sign in (1, -1)]
    desired = z.T @ z @ problem.hypergradient(lam) / pairs
    assert_allclose(actual.gradient, *exactly(desired, np.array(losses) / sigma * np.abs(z).max()))
    assert_allclose(actual.price, price)


@settings(max_examples=10)
@given(ridges(single, s=st.just(Exp())), st.floats(0.2, 1.0))
def test_the_mean_of_evolution_strategies_is_the_gradient_of_the_smoothed_loss(case: Case[Ridge], sigma: float):
    problem, lam, unit = case.problem, case.lam, np.ones(1)

    def F(point: np.ndarray) -> float:
        return float(problem.outer_loss(point))

    mean = expectation(lambda z: slope(F, lam, z, sigma) * z, unit)
    smoothed = differences(lambda x: expectation(lambda z: np.asarray(F(x + sigma * z)), unit), lam)
    # F has poles in the complex plane, πi away, which is what 40 nodes leave.
    assert_allclose(mean, smoothed.value, rtol=1e-5, atol=max(smoothed.atol, 1e-5 * F(lam)))


@settings(max_examples=2)
@given(ridges(single, s=st.just(Exp())), seeds)
def test_evolution_strategies_draw_from_that_mean(case: Case[Ridge], seed: int):
    problem, lam, sigma, pairs = case.problem, case.lam, 0.7, 200
    budget = problem.X.shape[1] / 4 + pairs * pair_price(problem)
    actual = EvolutionStrategies(sigma=sigma)(problem, lam, case.w, budget, np.random.default_rng(seed))

    def sample(z: np.ndarray) -> np.ndarray:
        return slope(lambda point: float(problem.outer_loss(point)), lam, z, sigma) * z

    mean, square = (expectation(lambda z, power=power: sample(z) ** power, np.ones(1)) for power in (1, 2))
    assert_allclose(actual.price, budget)
    assert abs(actual.gradient - mean) < 6 * np.sqrt((square - mean**2) / pairs) + EXACT


def pair_price(problem: Ridge) -> float:
    """Two losses and two solutions."""
    n, m = problem.X.shape
    return 2 * (1 / 3 + (m**3 / 3 + 2 * m**2) / (4 * n * m))


@given(ridges(single))
def test_prices_are_counts_of_operations(case: Case[Ridge]):
    problem, lam, w = case.problem, case.lam, case.w
    n, m = problem.X.shape
    gradient = 2 * 2 * n * m  # Xw and Xᵀ(residual)
    solved = m**3 / 3 + 2 * m**2
    exact = (n * m**2 + solved + 2 * m**2) / gradient + 3
    differences = n * m**2 / gradient + 2 * (solved / gradient + 1 / 3)
    for budget in (0.0, 1e6):
        assert_allclose(Exact()(problem, lam, w, budget, any_rng).price, exact)
        assert_allclose(CentralDifferences()(problem, lam, w, budget, any_rng).price, differences)
    twice = Exact(factorisations=2)(problem, lam, w, 0.0, any_rng).price
    # Newton's two steps: a gradient each, H formed each time, two factorisations.
    assert_allclose(twice - exact, (2 * gradient + n * m**2 + solved) / gradient)
    twice = CentralDifferences(factorisations=2)(problem, lam, w, 0.0, any_rng).price
    assert_allclose(twice, 2 * (2 * (gradient + n * m**2 + solved) / gradient + 1 / 3))
    # So near that a penalty, where λ is one, stays positive.
    least = EvolutionStrategies(sigma=1e-6)(problem, lam, w, 0.0, any_rng).price
    assert_allclose(least, n * m**2 / gradient + pair_price(problem))
