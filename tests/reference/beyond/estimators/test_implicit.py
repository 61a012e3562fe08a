"""The adjoint's four solvers against dense algebra, geometric tails and enumerated mini-batches; and their prices."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.beyond.estimators.implicit import Cholesky, ConjugateGradient, Neumann, OneStep
from reference.beyond.estimators.solvers import conjugate_gradient, neumann
from reference.bilevel.problem import Problem
from reference.problems.quadratic import QuadraticProblem
from reference.problems.ridge import Ridge
from tests.reference.beyond.estimators.counted import Told
from tests.strategies import Case, dropouts, exactly, generators, quadratics, ridges, sizes, spectra, symmetric

single = st.just(())
strictly_convex = ridges(single) | dropouts(single) | quadratics(single)
any_rng = np.random.default_rng(0)
few_products = st.integers(0, 6)


def terms(problem: Problem, lam: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, ...]:
    """H, B and g at (λ, w)."""
    return problem.hess_ww(lam, w), problem.hess_wlam(lam, w), problem.valid_grad_w(lam, w)


def sizes_of(H: np.ndarray, B: np.ndarray, g: np.ndarray, w: np.ndarray | float = 0.0) -> float:
    """What cancels in a product g H⁻¹ B, and in B itself, whose terms are of the size of H w."""
    size = np.linalg.norm(B) + np.linalg.norm(H) * np.linalg.norm(w)
    return float(np.linalg.norm(np.linalg.solve(H, g)) * size * np.linalg.cond(H) ** 0.5)


# Cholesky.


@given(strictly_convex)
def test_cholesky_elsewhere_is_the_implicit_formula_there(case: Case[Problem]):
    problem, lam, w = case.problem, case.lam, case.w
    H, B, g = terms(problem, lam, w)
    desired = problem.valid_grad_lam(lam, w) - g @ np.linalg.solve(H, B)
    assert_allclose(Cholesky()(problem, lam, w, 0.0, any_rng).gradient, *exactly(desired, sizes_of(H, B, g)))


# Conjugate gradient.


@given(generators(), st.integers(1, 6).flatmap(spectra), st.integers(0, 6))
def test_k_products_give_the_least_error_in_the_krylov_space(rng, spectrum, k):
    H, g = symmetric(rng, (), spectrum), rng.normal(size=len(spectrum))
    k = min(k, len(spectrum))
    u = np.linalg.solve(H, g)
    root = np.linalg.cholesky(H).T
    space = [g]
    for _ in range(k - 1):
        space.append(H @ space[-1])
    basis = np.linalg.qr(np.stack(space, axis=1))[0][:, :k]
    best = basis @ np.linalg.lstsq(root @ basis, root @ u)[0]
    actual = conjugate_gradient(lambda p: H @ p, g, k)
    # The basis of powers is the less accurate of the two: its condition is that of H to the power k.
    assert_allclose(actual, best, rtol=1e-6, atol=1e-6 * np.abs(u).max())


@given(generators(), st.integers(1, 8), st.integers(1, 3))
def test_as_many_products_as_different_eigenvalues_are_enough(rng, m, different):
    H = symmetric(rng, (), rng.choice([1.0, 3.0, 10.0][:different], size=m))
    g = rng.normal(size=m)
    assert_allclose(conjugate_gradient(lambda p: H @ p, g, different), *exactly(np.linalg.solve(H, g)))


@given(ridges(single, m=st.integers(2, 4)), st.floats(1e-6, 0.5))
def test_conjugate_gradient_stops_at_its_tolerance_and_pays_for_no_more(case: Case[Ridge], tolerance: float):
    problem, lam, w = case.problem, case.lam, case.w
    H, _, g = terms(problem, lam, w)
    residuals = [np.linalg.norm(g - H @ conjugate_gradient(lambda p: H @ p, g, k)) for k in range(5)]
    enough = [k for k, residual in enumerate(residuals) if residual <= tolerance * np.linalg.norm(g)]
    actual = ConjugateGradient(tolerance)(problem, lam, w, 3.0 + 2 * 4, any_rng)
    assert actual.price == 3.0 + 2 * min(enough, default=4)


def test_conjugate_gradient_stops_where_the_curvature_is_not_positive():
    H, g = np.diag([1.0, -1.0]), np.array([3.0, 1.0])
    # pᵀHp is 8 for p = g, so u = 10/8 g; the next p is (-0.1875, 1.9375) up to its length, of negative curvature.
    assert_allclose(conjugate_gradient(lambda p: H @ p, g, 5), 1.25 * g)
    assert_array_equal(conjugate_gradient(lambda p: -p, g, 5), np.zeros(2))
    assert_array_equal(conjugate_gradient(lambda p: p, np.zeros(2), 5), np.zeros(2))


# The Neumann series.


@given(generators(), sizes.flatmap(spectra), few_products, st.floats(0.1, 2.5))
def test_the_neumann_series_misses_a_geometric_tail(rng, spectrum, k, factor):
    # factor above 2: α beyond 2/(largest eigenvalue), where the tail grows and the series diverges.
    H, g, alpha = symmetric(rng, (), spectrum), rng.normal(size=len(spectrum)), factor / spectrum.max()
    u = np.linalg.solve(H, g)
    tail = np.linalg.matrix_power(np.eye(len(g)) - alpha * H, k + 1) @ u
    assert_allclose(neumann(lambda p: H @ p, g, k, alpha), *exactly(u - tail, u, tail))
    grown = np.abs(1 - alpha * spectrum.max()) ** (k + 1)
    assert np.linalg.norm(tail) <= max(grown, 1.0) * np.linalg.norm(u) * (1 + 1e-9)


@given(strictly_convex, st.floats(0.01, 1.0))
def test_t1_t2_is_the_neumann_series_first_term(case: Case[Problem], alpha: float):
    problem, lam, w = case.problem, case.lam, case.w
    actual, first = (kind(alpha)(problem, lam, w, 3.0, any_rng) for kind in (OneStep, Neumann))
    assert_array_equal(actual.gradient, first.gradient)
    _, B, g = terms(problem, lam, w)
    desired = problem.valid_grad_lam(lam, w) - alpha * g @ B
    assert_allclose(actual.gradient, *exactly(desired, alpha * np.linalg.norm(g) * np.linalg.norm(B)))
    assert actual.price == first.price == 3.0


# Mini-batches.


@settings(max_examples=15)
@given(ridges(single, n=st.just(3)), st.integers(1, 2))
def test_with_mini_batches_the_mean_of_the_neumann_series_is_the_whole_one(case: Case[Ridge], k: int):
    problem, lam, w = case.problem, case.lam, case.w
    alpha = 1.0 / np.linalg.eigvalsh(problem.hess_ww(lam, w))[-1]
    draws = list(product([(0,), (1,), (2,)], repeat=k + 1))
    budget = 1.0 + 2 * (k + 1) / 3
    actual = [Neumann(alpha)(problem, lam, w, budget, Told(*picks), batch=1) for picks in draws]
    gradients = np.array([item.gradient for item in actual])
    whole = Neumann(alpha)(problem, lam, w, 3.0 + 2 * k, any_rng).gradient
    assert_allclose(gradients.mean(axis=0), *exactly(whole, gradients))
    assert_allclose([item.price for item in actual], budget)


@given(ridges(single, n=st.just(3)))
def test_with_mini_batches_cholesky_and_conjugate_gradient_solve_one_batchs_system(case: Case[Ridge]):
    problem, lam, w = case.problem, case.lam, case.w
    part = problem.rows(np.array([2, 0]))
    g = problem.valid_grad_w(lam, w)
    H, B = part.hess_ww(lam, w), problem.rows(np.array([1, 2])).hess_wlam(lam, w)
    desired = exactly(-g @ np.linalg.solve(H, B), sizes_of(H, B, g) * np.linalg.cond(H))
    for estimator in (Cholesky(), ConjugateGradient()):
        actual = estimator(problem, lam, w, 30.0, Told((2, 0), (1, 2)), batch=2)
        assert_allclose(actual.gradient, *desired)


@settings(max_examples=10)
@given(ridges(single))
def test_a_mini_batch_of_all_rows_is_no_mini_batch(case: Case[Ridge]):
    problem, lam, w = case.problem, case.lam, case.w
    for estimator in (Cholesky(), ConjugateGradient(), Neumann(0.01), OneStep(0.01)):
        whole, all_rows = (estimator(problem, lam, w, 9.0, any_rng, batch) for batch in (None, problem.n))
        H, B, g = terms(problem, lam, w)
        size = sizes_of(H, B, g) * np.linalg.cond(H)
        assert_allclose(all_rows.gradient, *exactly(whole.gradient, size))
        # Conjugate gradient arrives in m steps, where rounding decides whether it takes one more.
        assert all_rows.price == whole.price or (isinstance(estimator, ConjugateGradient) and len(g) <= 2)


def test_more_rows_than_there_are_cannot_be_drawn():
    ones = np.ones((1, 1))
    problem = Ridge(ones, ones[0], ones, ones[0], divisor=1.0)
    with pytest.raises(ValueError, match="larger sample"):
        OneStep(0.1)(problem, np.zeros(1), np.zeros(1), 9.0, any_rng, batch=2)


@given(quadratics(single))
def test_where_the_weights_are_no_minimum_cholesky_says_so(case: Case[QuadraticProblem]):
    problem = replace(case.problem, train=replace(case.problem.train, A=-case.problem.train.A))
    with pytest.raises(np.linalg.LinAlgError):
        Cholesky()(problem, case.lam, case.w, 0.0, any_rng)
