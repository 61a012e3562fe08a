"""The lag of w0 behind λ: what its largest steps bear and refuse, and softmax regression near its optimum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reference.beyond.problems.logistic import Logistic
from reference.beyond.theory.lag import (
    decompose,
    iteration,
    monotone_step,
    stable_step,
    steps_to_follow,
)
from tests.strategies import generators, symmetric


def eigenvalues(A, J, H, T_train: int, alpha2: float) -> np.ndarray:
    """The modes where K = 0."""
    h = J.shape[1]
    return np.linalg.eigvals(iteration(A, J, H, 1.0, T_train, alpha2, np.zeros((h, h))))


@given(st.floats(0.01, 0.5), st.floats(0.01, 0.9))
def test_enough_inner_steps_are_just_enough(a, outer):
    steps, first = steps_to_follow(1.0, a, outer), np.ones((1, 1))
    bears = [monotone_step(a * first, first, 3 * first, 1.0, T_train) * 3 for T_train in (int(steps), int(steps) + 1)]
    assert bears[0] <= outer < bears[1]


def test_hessians_that_do_not_commute_can_diverge_at_a_ninth_of_the_step_that_exact_weights_bear():
    A, H, J = np.diag([0.25, 1.0]), np.array([[2.0, -1.5], [-1.5, 1.2]]), np.ones((2, 1))
    assert_allclose(decompose(A, J, H, 1.0, 1)[1].ravel(), [0.5, -0.3])
    radii = [np.abs(eigenvalues(A, J, H, 1, alpha2)).max() for alpha2 in (1.1, 1.12)]  # of 2/0.2 = 10
    assert radii[0] < 1 < radii[1]
    with pytest.raises(ValueError, match="do not commute"):
        stable_step(A, J, H, 1.0, 1)


@pytest.mark.parametrize(("alpha1_a", "outer"), [(0.0, 0.1), (1.0, 0.1), (0.1, 1.0), (0.1, -0.1), (np.nan, 0.1)])
def test_steps_that_no_lag_describes_are_refused(alpha1_a, outer):
    with pytest.raises(ValueError, match="shorten the steps"):
        steps_to_follow(1.0, alpha1_a, outer)


@pytest.mark.parametrize("a", [-0.1, 0.0, 1.1, np.nan])
def test_an_alpha1_that_no_momentum_describes_is_refused(a):
    for step in (stable_step, monotone_step):
        with pytest.raises((ValueError, np.linalg.LinAlgError), match="change α_1"):
            step(np.diag([0.5, a]), np.ones((2, 1)), np.eye(2), 1.0, 1)


def test_commuting_hessians_need_not_be_diagonal_in_the_eigenvectors_that_numpy_finds():
    rng = np.random.default_rng(0)
    A, J, H = 0.3 * np.eye(3), rng.normal(size=(3, 2)), symmetric(rng, (), np.array([0.5, 1.0, 2.0]))
    gamma = np.linalg.eigvalsh(J.T @ H @ J)[-1]  # one c: λ's coordinates are each momentum 0.7 ** 2
    assert_allclose(stable_step(A, J, H, 1.0, 2), 2 * (1 + 0.49) / (1 - 0.49) / gamma, rtol=1e-10)
    assert_allclose(monotone_step(A, J, H, 1.0, 2), 0.3 / 1.7 / gamma, rtol=1e-10)


@settings(max_examples=5)
@given(generators())
def test_softmax_regression_near_its_optimum_moves_as_the_linearised_iteration(rng):
    X, t = rng.normal(size=(12, 2)), np.arange(12) % 2
    problem = Logistic(X, t, rng.normal(size=(12, 2)), t, classes=2, divisor=12.0)
    lam = rng.normal(size=1)  # stands for λ*: a constant is taken off the outer gradient, so that λ rests here
    r, J = problem.best_response(lam), problem.best_response_jacobian(lam)
    bend = 1e-4
    slopes = problem.best_response_jacobian(lam + bend) - problem.best_response_jacobian(lam - bend)
    K = slopes.T @ problem.valid_grad_w(lam, r)[:, None] / (2 * bend)
    M = iteration(problem.hess_ww(lam, r), J, problem.valid_hess_vv(lam, r), 0.2, 3, 0.5, K)
    offset = problem.hypergradient(lam)

    def step(w: np.ndarray, lam: np.ndarray) -> np.ndarray:
        for _ in range(3):
            w = w - 0.2 * problem.grad_w(lam, w)
        slope = problem.best_response_jacobian(lam).T @ problem.valid_grad_w(lam, w)
        return np.concatenate([w, lam - 0.5 * (slope - offset)])

    for direction in rng.normal(size=(3, 5)):
        dx = 1e-4 * direction
        ahead, behind = (step(r + sign * dx[:4], lam + sign * dx[4:]) for sign in (1, -1))
        assert_allclose((ahead - behind) / 2e-4, M @ direction, rtol=1e-5, atol=1e-6)
