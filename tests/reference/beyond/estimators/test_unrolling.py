"""Both modes of unrolling against differences of what training gives, sums in closed form, and one another."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reference.beyond.estimators.unrolling import ForwardUnrolling, ReverseUnrolling
from reference.bilevel.problem import Problem
from reference.problems.quadratic import QuadraticProblem
from tests.reference.beyond.estimators.test_implicit import any_rng, single, sizes_of, terms
from tests.strategies import Case, differences, dropouts, exactly, problems, quadratics, ridges, seeds

few_steps = st.integers(0, 6)
lasts = st.none() | st.integers(1, 8)


def step_size(problem: Problem, lam: np.ndarray, w: np.ndarray) -> float:
    """Half of what a quadratic with the Hessian at w stays stable with."""
    return float(1.0 / np.abs(np.linalg.eigvalsh(problem.hess_ww(lam, w))).max())


def descended(problem: Problem, lam: np.ndarray, w: np.ndarray, alpha: float, steps: int) -> np.ndarray:
    """Plain gradient descent."""
    for _ in range(steps):
        w = w - alpha * problem.grad_w(lam, w)
    return w


def budget(steps: int, last: int | None, products: int = 1) -> float:
    """The price of so many steps of which the last are differentiated, with so many products each."""
    return 1.0 + steps + 2 * products * (steps if last is None else min(steps, last))


@given(problems(single), few_steps)
def test_unrolling_is_the_slope_of_the_validation_loss_that_training_gives(case: Case[Problem], steps: int):
    problem, lam, w = case.problem, case.lam, case.w
    alpha = step_size(problem, lam, w)
    actual = ReverseUnrolling(alpha)(problem, lam, w, budget(steps, None), any_rng)
    assert_allclose(
        actual.gradient, *differences(lambda x: problem.valid_loss(x, descended(problem, x, w, alpha, steps)), lam)
    )
    assert actual.price == budget(steps, None)


@given(problems(single), few_steps, lasts)
def test_forward_and_reverse_agree_to_rounding(case: Case[Problem], steps: int, last: int | None):
    problem, lam, w = case.problem, case.lam, case.w
    alpha, h = step_size(problem, lam, w), len(lam)
    reverse = ReverseUnrolling(alpha, last)(problem, lam, w, budget(steps, last), any_rng)
    forward = ForwardUnrolling(alpha, last)(problem, lam, w, budget(steps, last, h), any_rng)
    end = descended(problem, lam, w, alpha, steps)
    size = np.linalg.norm(problem.valid_grad_w(lam, end)) * np.linalg.norm(problem.hess_wlam(lam, w)) * alpha
    assert_allclose(forward.gradient, *exactly(reverse.gradient, size))
    assert (reverse.price, forward.price) == (budget(steps, last), budget(steps, last, h))


@given(ridges(single) | dropouts(single), few_steps, lasts, seeds)
def test_forward_and_reverse_see_the_same_mini_batches(case, steps: int, last: int | None, seed: int):
    problem, lam, w = case.problem, case.lam, case.w
    alpha, share = 0.1 * step_size(problem, lam, w), 1 / problem.n
    actual = [
        kind(alpha, last)(problem, lam, w, 1.0 + (budget(steps, last) - 1) * share, np.random.default_rng(seed), 1)
        for kind in (ReverseUnrolling, ForwardUnrolling)
    ]
    assert_allclose(actual[1].gradient, *exactly(actual[0].gradient, np.abs(w).max()))
    assert_allclose([item.price for item in actual], 1.0 + (budget(steps, last) - 1) * share)


@given(quadratics(single), few_steps, lasts)
def test_truncated_unrolling_of_a_quadratic_is_a_sum_in_closed_form(
    case: Case[QuadraticProblem], steps: int, last: int | None
):
    problem, lam, w = case.problem, case.lam, case.w
    H, B, _ = terms(problem, lam, w)
    alpha, r = step_size(problem, lam, w), problem.best_response(lam)
    shrink = np.eye(len(w)) - alpha * H
    end = r + np.linalg.matrix_power(shrink, steps) @ (w - r)
    powers = [np.linalg.matrix_power(shrink, k) for k in range(steps if last is None else min(steps, last))]
    Z = -alpha * sum(powers, np.zeros_like(H)) @ B
    desired = problem.valid_grad_lam(lam, end) + problem.valid_grad_w(lam, end) @ Z
    actual = ReverseUnrolling(alpha, last)(problem, lam, w, budget(steps, last), any_rng).gradient
    assert_allclose(
        actual, *exactly(desired, sizes_of(H, B, problem.valid_grad_w(lam, end)), problem.valid_grad_w(lam, w))
    )


def test_a_budget_buys_steps_that_are_differentiated_or_once_those_are_paid_for_any():
    reverse = ReverseUnrolling(0.1, last=3)
    assert [reverse.steps(b, 1.0, 2.0) for b in (0.5, 3.9, 4.0, 9.9, 10.0, 11.0, 13.5)] == [
        (0, 0), (0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (6, 3),
    ]  # fmt: skip
    assert ReverseUnrolling(0.1).steps(13.5, 1.0, 2.0) == (4, 4)


@given(st.integers(1, 2000), st.integers(1, 1000), st.integers(1, 20))
def test_the_budget_of_the_last_steps_buys_them_all_whatever_the_rounding(rows: int, h: int, last: int):
    step, derivative = 1 / rows, 2 * h / rows
    for total in (1.0 + last * (step + derivative), 1.0 + last * step + last * derivative):
        assert ForwardUnrolling(0.1, last=last).steps(total, step, derivative) == (last, last)
