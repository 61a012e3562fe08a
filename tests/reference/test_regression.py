"""Eqn. H.3 and the data that H.1, H.2 and H.4 share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.dropout import InputDropout
from reference.regression import Regression
from reference.ridge import Ridge
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
        found = [(batch.X, batch.t)]
    else:
        batch = case.problem.rows(taken)
        expected = [(one, taken[k]) for k, (_, one, _, _) in enumerate(case.replicates())]
        found = list(zip(batch.X, batch.t, strict=True))
    assert type(batch) is type(case.problem)
    for (X, t), (one, numbers) in zip(found, expected, strict=True):
        assert_array_equal(X, [one.X[i] for i in numbers])
        assert_array_equal(t, [one.t[i] for i in numbers])
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
