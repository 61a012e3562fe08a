"""Eqn. H.3 and the data that H.1, H.2 and H.4 share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.problems.dropout import InputDropout
from reference.problems.regression import Regression
from reference.problems.ridge import Ridge
from tests.strategies import Case, dropouts, exactly, generators, linear_networks, no_type_checks, ridges

regressions = ridges() | dropouts() | linear_networks()


@given(regressions)
def test_eqn_h_3_is_the_mean_over_validation_rows(case: Case[Regression]):
    for index, problem, _, w in case.replicates():
        v, loss = problem.f(w), 0.0
        for x, t in zip(problem.X_valid, problem.t_valid, strict=True):
            loss += (sum(x[j] * v[j] for j in range(len(v))) - t) ** 2
        actual = np.asarray(case.problem.valid_loss(case.lam, case.w))[index]
        assert_allclose(actual, *exactly(loss / (2 * len(problem.t_valid))))


@given(regressions)
def test_a_and_xt_are_sums_over_training_rows(case: Case[Regression]):
    for index, problem, _, _ in case.replicates():
        outer = sum(np.outer(x, x) for x in problem.X)
        inner = sum(x * t for x, t in zip(problem.X, problem.t, strict=True))
        own = () if case.shared else index
        assert case.problem.n == len(problem.t)
        assert_allclose(case.problem.A[own], *exactly(outer))
        assert_allclose(case.problem.Xt[own], *exactly(inner, outer))


@given(ridges(leads=st.just((3,))) | dropouts(leads=st.just((3,))) | linear_networks(leads=st.just((3,))), st.data())
def test_each_replicate_takes_its_own_rows(case: Case[Regression], data: st.DataObject):
    n, size = case.problem.n, data.draw(st.integers(1, case.problem.n))
    taken = np.array([case.rng.permutation(n)[:size] for _ in range(3)])
    if case.shared:
        batch = case.problem.rows(taken[0])
        expected = [(case.problem, taken[0])]
        measured = [(batch.X, batch.t)]
    else:
        batch = case.problem.rows(taken)
        expected = [(item, taken[k]) for k, (_, item, _, _) in enumerate(case.replicates())]
        measured = list(zip(batch.X, batch.t, strict=True))
    assert type(batch) is type(case.problem)
    for (X, t), (item, numbers) in zip(measured, expected, strict=True):
        assert_array_equal(X, [item.X[i] for i in numbers])
        assert_array_equal(t, [item.t[i] for i in numbers])
    assert_array_equal(batch.X_valid, case.problem.X_valid)
    assert_array_equal(batch.t_valid, case.problem.t_valid)


@given(ridges() | dropouts())
def test_one_list_of_rows_cuts_every_replicate(case: Case[Regression]):
    taken = case.rng.permutation(case.problem.n)[:2]
    batch = case.problem.rows(taken)
    for index in np.ndindex(case.problem.X.shape[:-2]):
        assert_array_equal(batch.X[index], case.problem.X[index][taken])
        assert_array_equal(batch.t[index], case.problem.t[index][taken])


@given(generators(), st.sampled_from([0, 1]), st.sampled_from([-1, 1]))
def test_rows_that_do_not_go_together_are_refused(rng: np.random.Generator, which: int, more: int):
    X, targets = rng.normal(size=(4, 2)), [rng.normal(size=4 + more * (k == which)) for k in range(2)]
    with no_type_checks(), pytest.raises(ValueError, match="differ in their rows"):
        InputDropout(X, targets[0], X, targets[1])


@given(generators(), st.sampled_from([0, 1]))
def test_targets_need_the_replicates_of_their_inputs(rng: np.random.Generator, which: int):
    X, targets = rng.normal(size=(3, 4, 2)), [rng.normal(size=(4,) if k == which else (3, 4)) for k in range(2)]
    with pytest.raises(ValueError, match="differ in their rows"):
        InputDropout(X, targets[0], X, targets[1])


@given(generators(), st.sampled_from([1, 3]))
def test_columns_that_do_not_go_together_are_refused(rng: np.random.Generator, columns: int):
    t = rng.normal(size=4)
    with no_type_checks(), pytest.raises(ValueError, match="differ in their columns"):
        Ridge(rng.normal(size=(4, 2)), t, rng.normal(size=(4, columns)), t, divisor=4.0)


@pytest.mark.parametrize(("n", "v", "m"), [(0, 3, 2), (3, 0, 2), (3, 3, 0)])
def test_empty_sets_are_refused(n: int, v: int, m: int):
    with pytest.raises(ValueError, match="empty"):
        Ridge(np.ones((n, m)), np.ones(n), np.ones((v, m)), np.ones(v), divisor=1.0)


@given(generators(), st.integers(0, 3), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_numbers_that_are_not_finite_are_refused_by_name(rng, which, value):
    arrays = [rng.normal(size=shape) for shape in ((5, 2), (5,), (4, 2), (4,))]
    arrays[which].flat[int(rng.integers(arrays[which].size))] = value
    name = ("X", "t", "X_valid", "t_valid")[which]
    with pytest.raises(ValueError, match=f"^{name} holds NaN or infinity"):
        Ridge(*arrays, divisor=5.0)


def test_complex_numbers_are_refused_by_name():
    X, t = np.eye(2), np.ones(2)
    with no_type_checks(), pytest.raises(ValueError, match=r"^t_valid is complex"):
        Ridge(X, t, X, t + 1j, divisor=2.0)


@pytest.mark.parametrize("kind", [np.float32, np.float16, int, bool])
def test_numbers_of_any_real_type_are_answered_in_double_precision(kind):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 2, size=shape) for shape in ((6, 3), (6,), (4, 3), (4,))]
    lam = np.array([-15.0])
    with no_type_checks():
        other = Ridge(*(part.astype(kind) for part in arrays), divisor=6.0)
    plain = Ridge(*(part.astype(float) for part in arrays), divisor=6.0)
    assert_array_equal(other.best_response(lam), plain.best_response(lam))


@given(generators())
def test_a_mini_batch_is_not_looked_through_again(rng):
    problem = Ridge(rng.normal(size=(6, 2)), rng.normal(size=6), rng.normal(size=(4, 2)), rng.normal(size=4), 6.0)
    batch, lam, w = problem.rows(np.array([0, 3])), np.zeros(1), rng.normal(size=2)
    residual = problem.X[[0, 3]] @ w - problem.t[[0, 3]]
    assert_allclose(batch.train_loss(lam, w), residual @ residual / 4 + w @ w / 12, rtol=1e-12)
    assert_array_equal(batch.A, batch.X.T @ batch.X)  # of its own rows, whatever was computed before


# Regret where the least loss is next to nothing.


@given(generators(), st.floats(-8.0, 8.0))
def test_where_the_validation_rows_are_predicted_perfectly_regret_is_counted_in_rounding(rng, lam):
    X, t, X_valid = rng.normal(size=(8, 3)), rng.normal(size=8), rng.normal(size=(5, 3))
    place = np.array([lam])
    best = Ridge(X, t, X_valid, np.zeros(5), divisor=8.0).best_response(place)
    problem = Ridge(X, t, X_valid, X_valid @ best, divisor=8.0)
    optimum = problem.optimum_at(place, np.array("interior"))
    assert optimum.loss_star <= optimum.rounding
    assert problem.regret(place, optimum) == 0.0
    away = problem.outer_loss(place + 1.0)
    assert_allclose(problem.regret(place + 1.0, optimum), away / optimum.rounding, rtol=1e-12)


@given(ridges())
def test_what_rounding_leaves_uncertain_of_the_loss_covers_the_last_digits_of_the_weights(case):
    problem, lam = case.problem, case.lam
    v = problem.best_output(lam)
    moved = v * (1 + 2 * np.finfo(float).eps)
    change = np.abs(problem.valid_loss_v(lam, moved) - problem.valid_loss_v(lam, v))
    assert (change <= problem.valid_rounding_v(lam, v)).all()
