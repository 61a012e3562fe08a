"""Many penalties and many drop rates: one hyperparameter is ridge and input dropout, and many are every other route."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression
from sklearn.linear_model import Ridge as SklearnRidge

from reference.beyond.problems.grouped import GroupedPenalties, GroupedRates, GroupedRegression
from reference.beyond.problems.multistart import DIAGONAL, adjoint, multistart
from reference.bilevel.problem import Problem
from reference.bilevel.transforms import Exp
from reference.problems.dropout import InputDropout, MaskedRegression
from reference.problems.quadratic import QuadraticProblem
from reference.problems.ridge import Ridge
from tests.reference.bilevel.test_problem import OF_LAM, OF_LAM_AND_W
from tests.reference.problems.test_dropout import all_masks, rate
from tests.strategies import (
    Case,
    differences,
    dropouts,
    exactly,
    generators,
    many,
    no_type_checks,
    normal,
    quadratics,
    ridges,
)

single = st.just(())
tiny = many(single, kinds=(GroupedRates,), n=st.integers(1, 3), m=st.integers(1, 2))

LAST_DIGITS = 1e-13
"""The same formulas in the same order, but for where a factor n is divided out; K itself is equal bit by bit."""


def weights_of(problem: GroupedRegression, lam: np.ndarray) -> np.ndarray:
    """What n L_T multiplies ½w_j² with, feature by feature."""
    weights = [np.exp(lam[i]) for i in problem.group]
    if isinstance(problem, GroupedPenalties):
        return np.array(weights) * (1 if problem.divisor == problem.n else problem.n)
    return np.array([weights[j] * sum(x[j] ** 2 for x in problem.X) for j in range(len(weights))])


def assert_the_same_problem(actual: Problem, desired: Problem, lam: np.ndarray, w: np.ndarray) -> None:
    """Every answer of both, to the last digits."""
    for names, arguments in ((OF_LAM, (lam,)), (OF_LAM_AND_W, (lam, w))):
        for name in names:
            value = getattr(desired, name)(*arguments)
            scale = np.abs(value).max()
            assert_allclose(
                getattr(actual, name)(*arguments), value, rtol=0, atol=LAST_DIGITS * max(scale, 1.0), err_msg=name
            )


@given(ridges(s=st.just(Exp())))
def test_one_penalty_is_ridge_to_the_last_digits(case: Case[Ridge]):
    ridge, group = case.problem, (0,) * case.w.shape[-1]
    subject = GroupedPenalties(ridge.X, ridge.t, ridge.X_valid, ridge.t_valid, group, ridge.divisor)
    assert_array_equal(subject.K(case.lam), ridge.K(case.lam))
    assert_the_same_problem(subject, ridge, case.lam, case.w)
    batch = case.rng.permutation(ridge.n)[: 1 + ridge.n // 2]
    assert_the_same_problem(subject.rows(batch), ridge.rows(batch), case.lam, case.w)


@given(dropouts(inverted=st.just(True)))
def test_one_drop_rate_is_input_dropout_to_the_last_digits(case: Case[InputDropout]):
    dropout, group = case.problem, (0,) * case.w.shape[-1]
    subject = GroupedRates(dropout.X, dropout.t, dropout.X_valid, dropout.t_valid, group)
    assert_array_equal(subject.K(case.lam), dropout.K(case.lam))
    assert_the_same_problem(subject, dropout, case.lam, case.w)
    batch = case.rng.permutation(dropout.n)[: 1 + dropout.n // 2]
    uniforms = case.rng.uniform(size=(*case.lead, len(batch), case.w.shape[-1]))
    ours, theirs = subject.masked(batch, uniforms), dropout.masked(batch, uniforms)
    assert_array_equal(ours.grad_w(case.lam, case.w), theirs.grad_w(case.lam, case.w))


@given(many())
def test_the_loss_is_a_sum_over_rows_and_one_over_features(case: Case[GroupedRegression]):
    actual = np.asarray(case.problem.train_loss(case.lam, case.w))
    for index, problem, lam, w in case.replicates():
        data = sum((x @ w - t) ** 2 for x, t in zip(problem.X, problem.t, strict=True))
        penalty = sum(weight * w_j**2 for weight, w_j in zip(weights_of(problem, lam), w, strict=True))
        assert_allclose(actual[index], *exactly((data + penalty) / (2 * len(problem.t))))


@given(many())
def test_the_best_response_is_least_squares_with_a_row_added_for_each_feature(case: Case[GroupedRegression]):
    actual = case.problem.best_response(case.lam)
    for index, problem, lam, w in case.replicates():
        rows, t = np.diag(np.sqrt(weights_of(problem, lam))), np.concatenate([problem.t, np.zeros(len(w))])
        fit = LinearRegression(fit_intercept=False).fit(np.vstack([problem.X, rows]), t)
        assert_allclose(actual[index], *exactly(fit.coef_))


@given(many())
def test_penalties_are_one_penalty_on_features_divided_by_their_roots(case: Case[GroupedRegression]):
    actual = case.problem.best_response(case.lam)
    for index, problem, lam, _ in case.replicates():
        root = np.sqrt(weights_of(problem, lam))
        fit = SklearnRidge(alpha=1.0, fit_intercept=False, solver="cholesky").fit(problem.X / root, problem.t)
        assert_allclose(actual[index], *exactly(fit.coef_ / root))


@given(many())
def test_the_hypergradient_from_the_right_is_that_through_the_jacobian(case: Case[GroupedRegression]):
    problem, lam = case.problem, case.lam
    through = Problem.hypergradient(problem, lam)
    r, Theta = problem.best_response(lam), problem.best_response_jacobian(lam)
    terms = np.abs(Theta).max() * np.abs(problem.valid_grad_w(lam, r)).max()
    assert_allclose(problem.hypergradient(lam), *exactly(through, terms))
    for index, item, one_lam, _ in case.replicates():
        loss, gradient = item.outer(one_lam)
        assert_allclose(loss, *exactly(item.outer_loss(one_lam)))
        assert_allclose(gradient, *exactly(through[index], terms))


@given(many(leads=st.just((3,))))
def test_features_of_another_group_do_not_see_a_hyperparameter_directly(case: Case[GroupedRegression]):
    cross = np.broadcast_to(case.problem.hess_wlam(case.lam, case.w), (3, *case.w.shape[-1:], case.lam.shape[-1]))
    for j, i in enumerate(case.problem.group):
        assert_array_equal(np.delete(cross[:, j], i, axis=-1), 0.0)


@given(tiny, st.data())
def test_masks_drawn_at_each_features_rate_have_the_mean_of_the_expected_loss(case: Case[GroupedRates], data):
    problem, lam, w = case.problem, case.lam, case.w
    batch = case.rng.permutation(problem.n)[: data.draw(st.integers(1, problem.n))]
    p = np.array([float(rate(lam[i])) for i in problem.group])
    masks = all_masks(len(batch), len(w))
    probability = np.prod(np.where(masks == 1.0, 1 - p, p), axis=(-2, -1))
    # Hypothesis' masks as uniforms: 1 is at least any rate and 0 is less.
    masked = problem.masked(batch, masks)
    X, t = problem.X[batch], problem.t[batch]
    loss, gradient = 0.0, np.zeros_like(w)
    for R, weight in zip(masks, probability, strict=True):
        seen = R * X / (1 - p)
        loss += weight * np.sum((seen @ w - t) ** 2) / (2 * len(batch))
        gradient += weight * seen.T @ (seen @ w - t) / len(batch)
    assert_allclose(probability @ masked.train_loss(lam, w), *exactly(loss))
    assert_allclose(probability @ masked.grad_w(lam, w), *exactly(gradient, masked.grad_w(lam, w)))
    expected = problem.rows(batch)
    assert_allclose(expected.train_loss(lam, w), *exactly(loss))
    assert_allclose(expected.grad_w(lam, w), *exactly(gradient, masked.grad_w(lam, w)))


@given(generators(), st.integers(1, 3), st.integers(2, 4))
def test_every_column_is_dropped_at_its_own_rate(rng, b, m):
    X, uniforms, lam = normal(rng, b, m), rng.uniform(size=(b, m)), rng.uniform(-3, 3, m)
    inputs = MaskedRegression(X, normal(rng, b), uniforms).inputs(lam)
    for i, j in np.ndindex(b, m):
        p = float(rate(lam[j]))
        assert_allclose(inputs[i, j], *exactly(X[i, j] / (1 - p) if uniforms[i, j] >= p else 0.0))


# The best λ found.


@settings(max_examples=8)
@given(generators(), st.integers(2, 6))
def test_features_that_do_not_meet_have_their_best_penalties_found_in_each_replicate(rng, m):
    # A = I: r_j = t_j / (1 + e^λ_j) can be any number between 0 and t_j, so that the validation loss can be 0.
    t, shares = np.sign(rng.normal(size=(2, m))) * rng.uniform(1, 2, (2, m)), rng.uniform(0.05, 0.95, (2, m))
    X = np.tile(np.eye(m), (2, 1, 1))
    with no_type_checks():  # many restarts
        measured = GroupedPenalties(X, t, X, shares * t, group=tuple(range(m)), divisor=float(m)).optimum()
    # L-BFGS stops at a gradient of 1e-10, and the least curvature here is 0.05²·0.95²/m.
    assert_allclose(measured.lam_star, np.log(1 / shares - 1), atol=1e-5)
    assert (measured.loss_star < 1e-12).all()
    assert (measured.where == "interior").all()


def test_a_target_out_of_reach_sends_its_penalty_to_the_box():
    t_valid = np.array([2.0, -1.0, 0.5])
    measured = GroupedPenalties(np.eye(3), np.ones(3), np.eye(3), t_valid, group=(0, 1, 2), divisor=3.0).optimum()
    assert_allclose(measured.lam_star[[0, 2]], [-15.0, 0.0], atol=1e-5)
    assert measured.lam_star[1] > 10.0  # there the curve has levelled off
    assert measured.where == "boundary"


@settings(max_examples=10)
@given(many(leads=st.sampled_from([(), (3,)]), m=st.integers(2, 4)))
def test_the_best_found_is_level_or_falls_over_the_box_and_no_shared_value_is_better(case: Case[GroupedRegression]):
    problem = case.problem
    with no_type_checks():  # many restarts
        measured = problem.optimum()
    assert measured.lam_star.shape == (*measured.loss_star.shape, problem.h)
    low, high = problem.bounds
    gradient = problem.hypergradient(measured.lam_star)
    projected = measured.lam_star - np.clip(measured.lam_star - gradient, low, high)
    assert np.abs(projected).max() <= 1e-4 * max(1.0, np.max(measured.loss_star))
    # A loss near 0 is what squares of the targets' size leave.
    assert_allclose(problem.outer_loss(measured.lam_star), *exactly(measured.loss_star, problem.t_valid**2))
    for c in np.linspace(low, high, DIAGONAL):
        shared = np.asarray(problem.outer_loss(np.full(problem.h, c)))
        assert (measured.loss_star <= shared + 1e-9 * shared).all()


@settings(max_examples=5)
@given(many(single))
def test_one_hyperparameter_has_its_exact_optimum(case: Case[GroupedRegression]):
    subject = replace(case.problem, group=(0,) * case.w.shape[-1])
    assert subject.optimum().loss_star <= subject.outer_loss(np.linspace(-15, 15, 500)[:, None]).min() * (1 + 1e-9)


@pytest.mark.parametrize(("t_valid", "where"), [(2.0, "lower end"), (-1.0, "upper end")])
def test_of_one_hyperparameter_it_is_known_at_which_end_its_optimum_lies(t_valid, where):
    eye, ones = np.eye(3), np.ones(3)
    assert GroupedPenalties(eye, ones, eye, t_valid * ones, group=(0, 0, 0), divisor=3.0).optimum().where == where


def test_of_two_wells_on_the_diagonal_the_lower_is_found():
    wells = ((-6.0, 1.0), (5.0, 0.8))

    def outer(lam):
        parts = [(depth * np.exp(-np.sum((lam - x) ** 2) / 4), x) for x, depth in wells]
        return 2.0 - sum(part for part, _ in parts), np.sum([part * (lam - x) / 2 for part, x in parts], axis=0)

    assert_allclose(multistart(outer, 3, (-15.0, 15.0))[0], -6.0, atol=1e-5)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_deeper_well_is_found_from_beside_the_best_of_the_diagonal(side):
    # Level but for two wells, depth (1 - d²/w)²; on the diagonal the deeper one reaches -0.89 at most, at 3 or -3.
    wells = ((1.0, np.zeros(2), 1.5), (2.0, side * np.array([3.5, 2.5]), 1.5))

    def outer(lam):
        inside = [(depth, x, w, max(0.0, 1 - np.sum((lam - x) ** 2) / w)) for depth, x, w in wells]
        loss = -sum(depth * part**2 for depth, _, _, part in inside)
        return loss, np.sum([4 * depth * part * (lam - x) / w for depth, x, w, part in inside], axis=0)

    assert_allclose(multistart(outer, 2, (-15.0, 15.0))[0], wells[1][1], atol=1e-5)


@given(quadratics(single))
def test_the_adjoint_counts_the_direct_slope_of_the_validation_loss(case: Case[QuadraticProblem]):
    problem, lam = case.problem, case.lam
    loss, gradient = adjoint(problem)(lam)
    assert_allclose(loss, *exactly(problem.outer_loss(lam)))
    assert_allclose(gradient, *differences(problem.outer_loss, lam))


@pytest.mark.parametrize(("loss", "slope"), [(np.nan, 0.0), (np.inf, 0.0), (1.0, np.nan)])
def test_a_loss_or_gradient_that_is_not_finite_is_refused(loss, slope):
    def outer(lam):
        near = np.abs(lam - 3.0).max() < 4.0
        return (loss if near else float(lam @ lam)), (np.full(2, slope) if near else 2 * lam)

    with pytest.raises(ValueError, match="not finite"):
        multistart(outer, 2, (-15.0, 15.0))


@pytest.mark.parametrize(
    ("group", "message"), [((0,), "1 entries, for 2"), ((0, 2), "every integer"), ((1, 1), "every")]
)
def test_groups_that_do_not_fit_are_refused(group, message):
    with no_type_checks(), pytest.raises(ValueError, match=message):
        GroupedRates(np.eye(2), np.ones(2), np.eye(2), np.ones(2), group)
