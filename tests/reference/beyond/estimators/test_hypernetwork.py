"""Trained responses against Theorem 3, against the limits of the fixed points, and against a plain loop."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.beyond.control_variate.updates import (
    BEYOND,
    DELTA_STN_CV,
    DELTA_STN_CV_NORMALISED,
    DELTA_STN_NORMALISED,
    extended,
)
from reference.beyond.estimators.hypernetwork import CarriedOver, Hypernetwork
from reference.problems.fixed_points import joint_minimiser, response_minimiser
from reference.problems.quadratic import QuadraticProblem
from reference.problems.ridge import Ridge
from reference.rule.updates import CENTERED_STN, DELTA_STN, METHODS, REPARAM_STN, STN, Method
from tests.reference.beyond.estimators.test_implicit import single
from tests.strategies import Case, blocks, exactly, many, normal, seeds, symmetric

GRADIENTS = {STN: 1.0, REPARAM_STN: 1.0, CENTERED_STN: 2.0, DELTA_STN: 7 / 3, DELTA_STN_CV: 2.0}
"""Of a step, in mini-batches."""

by_name = pytest.mark.parametrize("method", [*METHODS, *BEYOND], ids=lambda method: method.name)


def tame(seed: int, h: int) -> tuple[QuadraticProblem, np.ndarray, np.ndarray]:
    """A quadratic problem whose Hessian has its eigenvalues in [1, 2], so that a few hundred steps converge."""
    rng = np.random.default_rng(seed)
    train, valid = (blocks(rng, (), symmetric(rng, (), rng.uniform(1.0, 2.0, 3 + h)), 3) for _ in range(2))
    return QuadraticProblem(train, valid), normal(rng, h), normal(rng, 3)


@pytest.mark.parametrize("method", [DELTA_STN_NORMALISED, DELTA_STN_CV_NORMALISED], ids=lambda method: method.name)
@settings(max_examples=3)
@given(seeds, st.integers(1, 2), st.floats(0.05, 1.0))
def test_theorem_3_from_any_weights_the_estimate_ends_at_the_exact_hypergradient(
    method: Method, seed: int, h: int, sigma: float
):
    problem, lam, w = tame(seed, h)
    # On average a step shrinks Θ's error by α times an eigenvalue, at least 0.2, and w0's by as much.
    actual = Hypernetwork(method, sigma, alpha1=0.2)(problem, lam, w, 700.0, np.random.default_rng(seed))
    terms = problem.valid_grad_w(lam, w), problem.hess_wlam(lam, w), problem.valid_grad_lam(lam, w)
    assert_allclose(actual.gradient, *exactly(problem.hypergradient(lam), *terms))


# Ridge: where exp(λ) leaves each method.

SIGMA, REPLICATES = 0.8, 1500


def linear_validation(seed: int) -> tuple[Ridge, np.ndarray, np.ndarray]:
    """Ridge with A/n of eigenvalues 1/2 and 1, and an L_V that is linear in w but for a tiny part; λ; and -∂L_V/∂w."""
    rng, tiny = np.random.default_rng(seed), 1e-6
    X = np.diag(np.sqrt([1.0, 2.0])) @ np.linalg.qr(rng.normal(size=(2, 2)))[0]
    x = rng.normal(size=(1, 2))
    problem = Ridge(X, rng.normal(size=2) + 2.0, tiny * x, np.full(1, 1 / tiny), divisor=2.0)
    return problem, np.full(1, 0.2), x[0]


def centred_limit(problem: Ridge, lam: np.ndarray) -> np.ndarray:
    return response_minimiser(problem, lam, problem.best_response(lam), np.full(1, SIGMA))


def joint_limit(problem: Ridge, lam: np.ndarray) -> np.ndarray:
    return joint_minimiser(problem, lam, np.full(1, SIGMA))[1]


LIMITS: list[tuple[Method, Callable[[Ridge, np.ndarray], np.ndarray]]] = [
    (STN, joint_limit),
    (REPARAM_STN, joint_limit),
    (CENTERED_STN, centred_limit),
    (DELTA_STN, centred_limit),
    (DELTA_STN_CV, centred_limit),
    (DELTA_STN_CV_NORMALISED, centred_limit),
]


@pytest.mark.parametrize(("method", "limit"), LIMITS, ids=[method.name for method, _ in LIMITS])
@settings(max_examples=2)
@given(seed=seeds)
def test_the_mean_estimate_on_ridge_ends_where_the_fixed_point_is(
    method: Method, limit: Callable[[Ridge, np.ndarray], np.ndarray], seed: int
):
    problem, lam, x = linear_validation(seed)
    # A step is affine in (w0, Θ) and its ε drawn independently of them: the mean follows the mean step exactly.
    lams, w = np.tile(lam, (REPLICATES, 1)), np.zeros((REPLICATES, 2))
    actual = Hypernetwork(method, SIGMA, alpha1=0.15)(problem, lams, w, 300.0, np.random.default_rng(seed)).gradient
    error = actual.std(axis=0) / np.sqrt(REPLICATES)
    desired = -x @ limit(problem, lam)
    assert (np.abs(actual.mean(axis=0) - desired) < 6 * error + 1e-5 * np.abs(desired)).all()
    # ... and is told from the other limit and from the exact answer where they are further off than that.
    assert error < 0.03 * np.linalg.norm(x) * np.linalg.norm(limit(problem, lam))


# The loop, its randomness and its price.


@by_name
@settings(max_examples=5)
@given(many(single), seeds, st.integers(0, 4), st.booleans())
def test_the_estimate_is_that_of_a_plain_loop(method: Method, case: Case, seed: int, steps: int, batched: bool):
    problem, lam, w = case.problem, case.lam, case.w
    n, h, alpha, sigma = problem.n, len(lam), 0.05, 0.6
    rng = np.random.default_rng(seed)
    Theta, w0 = np.zeros((len(w), h)), w
    for _ in range(steps):
        part = problem.rows(rng.choice(n, 1, replace=False)) if batched else problem
        eps = sigma * rng.standard_normal(h)
        c = eps if method.centred else lam + eps
        g0 = part.grad_w(lam, w0)
        if method.unperturbed and not extended(method).control_variate:
            w0 = w0 - alpha * g0
        g = part.grad_w(lam + eps, w0 + Theta @ c)
        scale = sigma**2 if extended(method).normalised else 1.0
        Theta = Theta - alpha / scale * np.outer(g - g0 if extended(method).control_variate else g, c)
        if not method.unperturbed or extended(method).control_variate:
            w0 = w0 - alpha * (g0 if extended(method).control_variate else g)
    desired = problem.valid_grad_w(lam, w0 if method.centred else w0 + Theta @ lam) @ Theta
    gradients = GRADIENTS[next(item for item in GRADIENTS if same_switches(item, method))]
    product = h / (2 * n)
    price = steps * (gradients / (n if batched else 1) + 2 * product) + 1.0 + product
    estimator = Hypernetwork(method, sigma, alpha)
    actual = estimator(problem, lam, w, price, np.random.default_rng(seed), 1 if batched else None)
    assert_allclose(actual.gradient, *exactly(desired, np.abs(w).max() * np.abs(Theta).max(initial=1.0)))
    assert_allclose(actual.price, price)


def same_switches(item: Method, other: Method) -> bool:
    """Whether they differ in no more than their names and the step's scale."""
    names = ("centred", "unperturbed", "linearised", "control_variate")
    return all(getattr(extended(item), name) == getattr(extended(other), name) for name in names)


@settings(max_examples=5)
@given(seeds, st.integers(1, 3), st.integers(0, 2))
def test_carried_over_follows_lam_and_pays_for_one_update(seed: int, updates: int, steps: int):
    problem, lam, w = tame(seed, 2)
    plain = Hypernetwork(DELTA_STN, 0.5, 0.1)
    n, h, m = 1.5, 2, 3  # a quadratic counts as m/2 rows
    price = steps * (7 / 3 + 2 * h / (2 * n)) + 1.0 + h / (2 * n)
    actual = CarriedOver(DELTA_STN, 0.5, 0.1, updates, move=0.3)(problem, lam, w, price, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    move = 0.3 * rng.choice([-1.0, 1.0], h)
    Theta, w0 = np.zeros((m, h)), w
    for k in range(updates):
        point = lam - (updates - 1 - k) * move
        for _ in range(steps):
            eps = 0.5 * rng.standard_normal(h)
            w0 = w0 - 0.1 * problem.grad_w(point, w0)
            Theta = Theta - 0.1 * np.outer(problem.grad_w(point + eps, w0 + Theta @ eps), eps)
    desired = problem.valid_grad_lam(lam, w0) + problem.valid_grad_w(lam, w0) @ Theta
    assert_allclose(actual.gradient, *exactly(desired, np.abs(w0).max(), np.abs(Theta).max()))
    assert_allclose(actual.price, price)
    if updates == 1:
        rng = np.random.default_rng(seed)
        rng.choice([-1.0, 1.0], h)
        assert_array_equal(actual.gradient, plain(problem, lam, w, price, rng).gradient)


@given(seeds)
def test_seeds_repeat_bit_for_bit(seed: int):
    problem, lam, w = tame(seed, 2)
    first, second = (
        Hypernetwork(DELTA_STN, 0.5, 0.1)(problem, lam, w, 50.0, np.random.default_rng(seed)).gradient for _ in range(2)
    )
    assert_array_equal(first, second)
