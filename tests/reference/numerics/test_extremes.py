"""Data and penalties at the ends of what floats hold: eight digits against many decimals, or a clear refusal."""

import mpmath as mp
import numpy as np
import pytest

from reference.beyond.problems.grouped import GroupedRates
from reference.beyond.problems.logistic import Logistic
from reference.bilevel.transforms import Linear
from reference.numerics.elimination import to_eight_digits
from reference.problems.dropout import InputDropout
from reference.problems.fixed_points import joint_minimiser
from reference.problems.ridge import Ridge
from tests.reference.numerics.test_fifty_digits import EIGHT, answer, exactly, off, softmax_answer


def data(seed, n, m, scale=1.0):
    rng = np.random.default_rng(seed)
    return scale * rng.normal(size=(n, m)), rng.normal(size=n), scale * rng.normal(size=(4, m)), rng.normal(size=4)


@pytest.mark.parametrize("seed", range(12))
def test_the_loss_has_eight_digits_where_columns_differ_by_a_million(seed):
    rng = np.random.default_rng(seed)
    columns = np.array([1.0, 1.0, 1.0, 1e6, 1e6])
    X, X_valid, w = rng.normal(size=(7, 5)) * columns, rng.normal(size=(5, 5)) * columns, rng.normal(size=5) / columns
    ridge = Ridge(X, X @ w + 1e-3 * rng.normal(size=7), X_valid, X_valid @ w + 1e-3 * rng.normal(size=5), divisor=7.0)
    with mp.workdps(60):
        exact = answer(ridge, [mp.mpf(-8)]).loss
        assert abs(mp.mpf(float(ridge.outer_loss(np.array([-8.0])))) - exact) < EIGHT * exact


@pytest.mark.parametrize("problem", [InputDropout, lambda *parts: GroupedRates(*parts, group=(0, 0, 0))])
@pytest.mark.parametrize("scale", [1e-160, 1e-155, 1e155])
def test_features_whose_squares_leave_the_floats_are_refused(problem, scale):
    with pytest.raises(ValueError, match=r"not positive and finite|scale them"):
        problem(*data(0, 6, 3, scale)).best_response(np.zeros(1))


def test_a_hyperparameter_that_overflows_is_refused():
    for problem in (Ridge(*data(0, 6, 3), divisor=6.0), InputDropout(*data(0, 6, 3))):
        with pytest.raises(ValueError, match="not finite"):
            problem.best_response(np.array([800.0]))


def test_the_jacobian_of_a_vast_penalty_does_not_underflow():
    ridge, lam = Ridge(*data(0, 6, 3), divisor=6.0), np.array([400.0])
    np.testing.assert_allclose(ridge.best_response_jacobian(lam)[:, 0], -ridge.best_response(lam), rtol=1e-12)


def test_a_hyperparameter_in_single_precision_counts_as_the_number_that_it_is():
    problem, lam = InputDropout(*data(0, 6, 3), inverted=False), np.array([-3.0], dtype=np.float32)
    np.testing.assert_array_equal(problem.best_response(lam), problem.best_response(lam.astype(float)))


@pytest.mark.parametrize("eigenvalue", [-1.0, 1e-30])
def test_a_matrix_without_a_minimum_is_refused_whatever_its_condition(eigenvalue):
    with pytest.raises(ValueError, match="not positive definite"):
        to_eight_digits(np.diag([-1.0, eigenvalue]), np.ones((2, 1)))


def test_what_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        to_eight_digits(np.eye(2), np.array([[1.0], [np.nan]]))


@pytest.mark.parametrize("sigma", [1e-8, 1.0, 30.0])
@pytest.mark.parametrize("shape", [(1, 3), (4, 2)])
def test_stns_resting_place_has_eight_digits(sigma, shape):
    ridge = Ridge(*data(37, shape[0], shape[1], 10.0), divisor=float(shape[0]))
    w0, Theta = joint_minimiser(ridge, np.array([-15.0]), np.array([sigma]))
    with mp.workdps(120):
        X, t, eye = exactly(ridge.X), exactly(ridge.t), mp.eye(shape[1])
        a = mp.exp(mp.mpf(-15) + mp.mpf(sigma) ** 2 / 2)
        upper, lower = X.T * X + a * eye, X.T * X + a * (1 + mp.mpf(sigma) ** 2) * eye
        y = mp.lu_solve(upper * lower - mp.mpf(sigma) ** 2 * a**2 * eye, X.T * t)
        assert off(w0, lower * y) < EIGHT
        assert off(Theta[:, 0], -a * y) < EIGHT


def test_a_penalty_whose_rounding_decides_is_refused():
    X, t, *valid = data(12, 4, 2, 1e4)
    least = np.linalg.svd(X)[1][-1] ** 2
    ridge = Ridge(X, t, *valid, divisor=3.7, s=Linear())
    with pytest.raises(ValueError, match=r"minus an eigenvalue|not positive definite"):
        ridge.best_response(np.array([-(1 - 1e-11) * least * 3.7 / 4]))


@pytest.mark.parametrize("scale", [1e2, 1e5, 1e6])
@pytest.mark.parametrize(("seed", "classes"), [(1, 3), (37, 2), (55, 3)])
def test_softmax_regression_on_large_features_is_right_or_refused(scale, seed, classes):
    rng = np.random.default_rng(seed)
    X, t = scale * rng.normal(size=(5, 2)), np.arange(5) % classes
    problem = Logistic(X, t, X, t, classes=classes, divisor=5.0)
    for lam in (np.array([-10.0]), np.array([0.0]), np.array([3.0])):
        try:
            r = problem.best_response(lam)
            J = problem.jacobian_at(lam, r)
        except np.linalg.LinAlgError:
            raise
        except ValueError:
            continue
        with mp.workdps(60):
            exact_r, exact_J = softmax_answer(problem, lam, r)
            assert off(r, exact_r) < EIGHT
            assert off(J[:, 0], exact_J[0]) < EIGHT


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="two at least"):
        Logistic(np.ones((1, 1)), np.zeros(1, int), np.ones((1, 1)), np.zeros(1, int), classes=1, divisor=1.0)
