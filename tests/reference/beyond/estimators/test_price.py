"""The purse against a problem that counts: no estimator gets anything for nothing, and none pays twice."""

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reference.beyond.estimators.estimator import Estimator
from reference.beyond.estimators.hypernetwork import Hypernetwork
from reference.beyond.estimators.implicit import Cholesky, ConjugateGradient, Neumann, OneStep
from reference.beyond.estimators.price import Inner, affordable
from reference.beyond.estimators.unrolling import ForwardUnrolling, ReverseUnrolling
from reference.problems.quadratic import QuadraticProblem
from reference.problems.ridge import Ridge
from reference.rule.updates import CENTERED_STN, STN
from tests.reference.beyond.estimators.counted import Counted
from tests.reference.beyond.estimators.test_implicit import any_rng, single
from tests.strategies import Case, no_type_checks, quadratics, ridges

PRICES = {"grad_w": 1.0, "valid_grad_w": 1.0, "hess_vec": 2.0, "cross_vec": 2.0}
COUNTED = [ConjugateGradient(), Neumann(0.01), OneStep(0.01)]
ADJOINT = [ReverseUnrolling(0.01), ReverseUnrolling(0.01, last=2)]
ALL: list[Estimator] = [*COUNTED, *ADJOINT, ForwardUnrolling(0.01)]


def called(estimator: Estimator, problem: Ridge, case: Case[Ridge], budget: float, batch: int | None):
    """The estimate, and how often each method of the problem was called, mini-batches by their rows."""
    counted = Counted(problem)
    with no_type_checks():
        actual = estimator(cast(Any, counted), case.lam, case.w, budget, np.random.default_rng(0), batch)
    return actual, counted.calls


@pytest.mark.parametrize("estimator", ALL, ids=lambda item: item.name)
@settings(max_examples=6)
@given(case=ridges(single), budget=st.floats(0.0, 40.0), batch=st.none() | st.just(1))
def test_every_use_of_the_problem_is_paid_for_once(estimator, case: Case[Ridge], budget: float, batch: int | None):
    actual, calls = called(estimator, case.problem, case, budget, batch)
    price = sum(count * PRICES.get(name, 0.0) for name, count in calls.items())
    if estimator in ADJOINT:  # ∂²L_T/∂w² u and uᵀ∂²L_T/∂w∂λ come together
        price -= 2.0 * calls["cross_vec"]
    assert_allclose(actual.price, price)
    assert set(calls) <= {*PRICES, "valid_grad_lam", "train_hess_vlam"}


@pytest.mark.parametrize("estimator", ALL, ids=lambda item: item.name)
@settings(max_examples=6)
@given(case=ridges(single), budget=st.floats(3.0, 40.0), batch=st.none() | st.just(1))
def test_no_more_than_the_budget_is_spent_and_no_less_than_is_useful(
    estimator, case: Case[Ridge], budget: float, batch: int | None
):
    actual, _ = called(estimator, case.problem, case, budget, batch)
    assert actual.price <= budget * (1 + 1e-12)
    if estimator not in COUNTED[::2]:  # conjugate gradient ends where nothing is left to do, T1-T2 at one step
        assert actual.price > budget - 3.0


@given(ridges(single))
def test_cholesky_pays_for_columns_and_operations(case: Case[Ridge]):
    (n, m), actual = case.problem.X.shape, Cholesky()(case.problem, case.lam, case.w, 0.0, any_rng)
    assert_allclose(actual.price, 2 * m + (m**3 / 3 + 2 * m**2) / (4 * n * m) + 1 + 2)


@given(quadratics(single) | ridges(single))
def test_the_operations_of_a_gradient_cost_a_gradient(case: Case[QuadraticProblem | Ridge]):
    m, problem = len(case.w), case.problem
    inner = Inner(problem, m, any_rng)
    # Two products with X (n, m), or one with H (m, m), of two operations a number.
    inner.operations(float(4 * problem.n * m if isinstance(problem, Ridge) else 2 * m**2))
    assert_allclose(inner.price, 1.0)


@settings(max_examples=10)
@given(ridges(single), st.integers(0, 5), st.sampled_from([(STN, 1.0), (CENTERED_STN, 2.0)]), st.booleans())
def test_a_hypernetworks_gradients_and_products_with_theta_are_paid_for(case: Case[Ridge], steps, priced, batched):
    (method, gradients), n = priced, case.problem.n
    share, product = 1 / n if batched else 1.0, 1 / (2 * n)  # 2m operations, of 4nm, for one hyperparameter
    budget = 1.0 + product + steps * (gradients * share + 2 * product)
    estimator = Hypernetwork(method, sigma=0.5, alpha1=0.01)
    actual, calls = called(estimator, case.problem, case, budget, 1 if batched else None)
    assert_allclose(actual.price, budget)
    assert_allclose(calls["grad_w"], steps * gradients * share)
    assert calls["valid_grad_w"] == 1


@given(st.floats(0.0, 1e6), st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_affordable_is_what_can_be_paid_whatever_the_rounding(fixed: float, count: int, each: float):
    # A budget that was added up from its parts buys them again where the parts are no smaller than its rounding.
    assert affordable(count * each, 0.0, each) == count
    assert affordable(fixed + count * each, fixed, each) == count
