"""Alg. 1 run step by step, on quadratic losses and on softmax regression, against what its lag says of it."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reference.beyond.problems.logistic import Logistic
from reference.beyond.theory.lag import (
    characteristic,
    decompose,
    iteration,
    monotone_step,
    stable_step,
    steps_to_follow,
)
from tests.strategies import generators, orthonormal, spectra, symmetric

outer_sizes = st.integers(2, 3)


@st.composite
def systems(draw: st.DrawFn, commuting: bool, h: st.SearchStrategy[int] = outer_sizes):
    """A, J, H, T_train with α_1 = 1, so that A's eigenvalues are α_1a_i, between 0.01 and 0.8."""
    rng, m, T_train = draw(generators()), draw(st.integers(2, 4)), draw(st.integers(1, 8))
    a, v = draw(spectra(m, -2.0, -0.1)), draw(spectra(m))
    Q, R = (orthonormal(rng, (), m, m) for _ in range(2))
    A, H = (Q * a) @ Q.T, (Q * v) @ Q.T if commuting else (R * v) @ R.T
    return (A + A.T) / 2, rng.normal(size=(m, min(m, draw(h)))), (H + H.T) / 2, T_train


def run(A, J, H, K, T_train: int, alpha2: float, lam: np.ndarray, steps: int) -> np.ndarray:
    """λ - λ* along plain loops of both steps, from w0 = r(λ)."""
    w, path = J @ lam, [lam]
    for _ in range(steps):
        for _ in range(T_train):
            w = w - A @ (w - J @ path[-1])
        path.append(path[-1] - alpha2 * (J.T @ H @ w + K @ path[-1]))
    return np.array(path)


def eigenvalues(A, J, H, T_train: int, alpha2: float) -> np.ndarray:
    """The modes where K = 0."""
    h = J.shape[1]
    return np.linalg.eigvals(iteration(A, J, H, 1.0, T_train, alpha2, np.zeros((h, h))))


@given(systems(commuting=False), st.floats(0.01, 1.0), st.integers(0, 2**32 - 1))
def test_the_iteration_is_both_steps_in_a_plain_loop(system, alpha2, seed):
    A, J, H, T_train = system
    rng, h = np.random.default_rng(seed), J.shape[1]
    lam, K = rng.normal(size=h), rng.normal(size=(h, h))
    M = iteration(A, J, H, 1.0, T_train, alpha2, K)
    path = run(A, J, H, K, T_train, alpha2, lam, 5)
    state = np.concatenate([J @ lam, lam])
    for k in range(6):
        scale = np.abs(path[: k + 1]).max() + np.abs(state).max()
        assert_allclose(state[len(A) :], path[k], rtol=0, atol=1e-10 * scale)
        state = M @ state


@given(systems(commuting=False), st.floats(0.01, 1.0))
def test_at_each_mode_the_small_matrix_is_singular(system, alpha2):
    A, J, H, T_train = system
    c, Gamma = decompose(A, J, H, 1.0, T_train)
    K = np.zeros((J.shape[1],) * 2)
    for z in eigenvalues(A, J, H, T_train, alpha2):
        if np.abs(z - c).min() > 1e-3:
            values = np.linalg.svd(characteristic(complex(z), c, Gamma, alpha2, K), compute_uv=False)
            # A near-double mode is known to the root of rounding only.
            assert values[-1] < 1e-6 * (values[0] + np.abs(Gamma).max())


@given(systems(commuting=True))
def test_where_the_hessians_commute_the_largest_step_is_exact(system):
    A, J, H, T_train = system
    step = stable_step(A, J, H, 1.0, T_train)
    radii = [np.abs(eigenvalues(A, J, H, T_train, factor * step)).max() for factor in (0.99, 1.0, 1.01)]
    assert radii[0] < 1 < radii[2]
    assert_allclose(radii[1], 1, rtol=1e-9)


@given(systems(commuting=True), st.floats(0.1, 1.0))
def test_up_to_the_monotone_step_nothing_oscillates_and_beyond_it_oscillations_die_out_by_root_c(system, share):
    A, J, H, T_train = system
    c = np.linalg.eigvalsh(np.eye(len(A)) - A) ** T_train
    real = eigenvalues(A, J, H, T_train, share * monotone_step(A, J, H, 1.0, T_train))
    assert np.max(np.imag(real) ** 2) < 1e-10  # squared: a double mode's imaginary part is the root of rounding
    assert np.real(real).min() > -1e-10
    oscillating = eigenvalues(A, J, H, T_train, share * stable_step(A, J, H, 1.0, T_train))
    modulus = np.abs(oscillating[np.abs(np.imag(oscillating)) > 1e-5])
    assert np.all(modulus < np.sqrt(c.max()) + 1e-9)


@given(st.floats(0.02, 0.9), st.floats(0.1, 10.0), st.integers(1, 8), st.floats(0.05, 0.95))
def test_one_weight_passes_the_optimum_just_beyond_the_monotone_step(a, v, T_train, closeness):
    A, J, H, K = np.array([[a]]), np.array([[2.0]]), np.array([[v]]), np.zeros((1, 1))
    assume((1 - a) ** T_train > 1e-3)
    first, last = (step(A, J, H, 1.0, T_train) for step in (monotone_step, stable_step))
    below = run(A, J, H, K, T_train, closeness * first, np.ones(1), 500)
    beyond = run(A, J, H, K, T_train, first + closeness * (last - first), np.ones(1), 500)
    assert below.min() >= 0
    assert beyond.min() < 0
    assert abs(beyond[-1]) < 1 < abs(run(A, J, H, K, T_train, 1.05 * last, np.ones(1), 500)[-1])


@given(st.floats(0.01, 0.5), st.floats(0.01, 0.9))
def test_enough_inner_steps_are_just_enough(a, outer):
    steps, one = steps_to_follow(1.0, a, outer), np.ones((1, 1))
    bears = [monotone_step(a * one, one, 3 * one, 1.0, T_train) * 3 for T_train in (int(steps), int(steps) + 1)]
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
