"""H.1's split and scaling against scikit-learn's own recipe, and against the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from reference.console.command import UserError
from toy.data.datasets import Dataset, load
from toy.data.split import Split, split, stack

SCALED = 1e-12
"""Means and deviations of some hundred numbers of the size of 1: sixteen digits, less what sums of them lose."""


def dataset(X, t):
    return Dataset("made-up", X, t, tuple(f"x{j}" for j in range(X.shape[1])))


def random_dataset(n, m, seed, scale=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    return dataset(scale * (shift + rng.normal(size=(n, m))), scale * (shift + rng.normal(size=n)))


seeds = st.integers(0, 2**32 - 1)


@given(
    st.integers(10, 60),
    st.integers(1, 5),
    seeds,
    st.sampled_from([1e-100, 1e-3, 1.0, 1e6, 1e100]),
    st.sampled_from([0.0, 1.0, -100.0]),
)
def test_it_is_scikit_learns_recipe(n, m, seed, scale, shift):
    data = random_dataset(n, m, seed, scale, shift)
    rows, rows_valid = train_test_split(np.arange(len(data.t)), test_size=0.2, random_state=seed)
    scaler = make_pipeline(StandardScaler()).fit(data.X[rows])
    target = StandardScaler().fit(data.t[rows, None])
    actual = split(data, seed)
    assert_array_equal(actual.X, scaler.transform(data.X[rows]))
    assert_array_equal(actual.X_valid, scaler.transform(data.X[rows_valid]))
    assert_array_equal(actual.t, np.ravel(target.transform(data.t[rows, None])))
    assert_array_equal(actual.t_valid, np.ravel(target.transform(data.t[rows_valid, None])))


@given(st.integers(10, 200), st.integers(1, 4), seeds)
def test_training_rows_have_mean_0_and_population_variance_1(n, m, seed):
    actual = split(random_dataset(n, m, seed), seed)
    assert_allclose(actual.X.sum(axis=0) / len(actual.X), np.zeros(m), atol=SCALED)
    assert_allclose((actual.X**2).sum(axis=0) / len(actual.X), np.ones(m), rtol=SCALED)
    assert_allclose(actual.t.sum() / len(actual.t), 0.0, atol=SCALED)
    assert_allclose((actual.t**2).sum() / len(actual.t), 1.0, rtol=SCALED)


@given(st.integers(10, 200), seeds)
def test_a_fifth_of_the_rows_rounded_up_is_for_validation_and_every_row_is_used_once(n, seed):
    data = dataset(np.arange(n, dtype=float)[:, None], np.arange(n, dtype=float))
    actual = split(data, seed)
    assert len(actual.X_valid) == -(-n // 5)
    assert len(actual.X) == n - len(actual.X_valid)
    everything = np.sort(np.concatenate([actual.X[:, 0], actual.X_valid[:, 0]]))
    # Scaling keeps the order and even distances of 0, 1, ..., n - 1.
    assert_allclose(np.diff(everything), np.full(n - 1, everything[1] - everything[0]), rtol=1e-9)


def test_validation_rows_do_not_move_the_scaling():
    data = load("diabetes")
    actual = split(data, 0)
    _, rows_valid = train_test_split(np.arange(len(data.t)), test_size=0.2, random_state=0)
    X = data.X.copy()
    X[rows_valid] *= 100.0
    assert_array_equal(split(dataset(X, data.t), 0).X, actual.X)


def test_seeds_give_different_splits():
    data = load("diabetes")
    assert (split(data, 0).t != split(data, 1).t).any()


def test_stack_puts_splits_along_a_leading_axis():
    parts = [split(load("diabetes"), seed) for seed in range(3)]
    together = stack(parts)
    for seed, part in enumerate(parts):
        for name in ("X", "t", "X_valid", "t_valid"):
            assert_array_equal(getattr(together, name)[seed], getattr(part, name))
    assert isinstance(together, Split)


@pytest.mark.parametrize("value", [0.1, 0.5, 1e9, 1e-9])
def test_a_target_that_is_constant_over_the_training_rows_is_refused(value):
    n = 60  # of which 48 times 0.1 has a mean that is not 0.1
    rows_valid = train_test_split(np.arange(n), test_size=0.2, random_state=4)[1]
    t = np.full(n, value)
    t[rows_valid[0]] = 2 * value
    data = dataset(np.random.default_rng(0).normal(size=(n, 2)), t)
    with pytest.raises(UserError, match="constant over the training rows of seed 4"):
        split(data, 4)
    others = [s for s in range(9) if rows_valid[0] in train_test_split(np.arange(n), test_size=0.2, random_state=s)[0]]
    assert others
    for seed in others:
        assert np.isfinite(split(data, seed).t).all()


@pytest.mark.parametrize("value", [0.1, 0.5, 1e9])
def test_a_feature_that_is_constant_over_the_training_rows_is_left_at_0_to_rounding(value):
    rows_valid = train_test_split(np.arange(20), test_size=0.2, random_state=4)[1]
    X = np.random.default_rng(0).normal(size=(20, 2))
    X[:, 1] = value
    X[rows_valid[0], 1] = 2 * value
    actual = split(dataset(X, X[:, 0]), 4)
    assert np.abs(actual.X[:, 1]).max() <= 1e-15 * value
    assert_allclose(actual.X_valid[0, 1], value, rtol=1e-12)


def test_a_validation_row_beyond_any_scale_is_refused():
    rows_valid = train_test_split(np.arange(20), test_size=0.2, random_state=4)[1]
    X = 1e-20 * np.random.default_rng(0).normal(size=(20, 2))
    X[rows_valid[1], 0] = 1e140
    with pytest.raises(UserError, match="too far from the training rows of seed 4"):
        split(dataset(X, X[:, 1]), 4)
