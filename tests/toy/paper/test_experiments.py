"""The settings of H.1, and the problems that splits are made into."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.bilevel.transforms import Exp, Linear, Logistic
from reference.console.command import UserError
from reference.problems.dropout import InputDropout
from reference.problems.linear_network import LinearNetwork
from toy.data.datasets import Dataset, load
from toy.data.split import Split, split, stack
from toy.paper.experiments import (
    EXPERIMENTS,
    dropout,
    linear_network,
    linear_network_undivided,
    near_identity,
    one_feature,
    ridge,
    ridge_undivided,
    saturating,
)

names = st.sampled_from(list(EXPERIMENTS))


def random_split(seed, n=24, m=4, v=6):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n + v, m))
    data = Dataset("made-up", X, X @ rng.normal(size=m) + rng.normal(size=n + v), tuple("abcdefgh"[:m]))
    return split(data, seed)


def with_columns(parts, *columns):
    """The split with these training columns, which must be scaled, in the place of its features."""
    X = np.stack(columns, axis=-1)
    return Split(X, parts.t, np.zeros((len(parts.t_valid), X.shape[-1])), parts.t_valid)


seeds = st.integers(0, 2**32 - 1)


# What H.1 states.


@pytest.mark.parametrize(("rows", "penalty", "batch"), [(10, 1.0, 8), (999, 1.0, 10), (1000, 50.0, 100)])
def test_h_1_starts_and_batches_depend_on_the_number_of_rows(rows, penalty, batch):
    for name in ("ridge", "ridge-undivided", "linear-network", "linear-network-undivided", "dropout"):
        experiment = EXPERIMENTS[name]
        assert experiment.start(rows) == (0.2 if name == "dropout" else penalty)
        assert experiment.batch(rows, rows - -(-rows // 5)) == batch


@pytest.mark.parametrize(
    "name", ["ridge", "ridge-undivided", "dropout", "linear-network", "linear-network-undivided", "decoupling"]
)
def test_h_1_fixes_sigma_the_intervals_and_the_warm_up(name):
    schedule = EXPERIMENTS[name].schedule
    assert EXPERIMENTS[name].sigma == 1.0
    assert (schedule.T_train, schedule.T_valid, schedule.warm_up) == (10, 1, 100)


@given(names)
def test_a_start_is_what_s_makes_of_a_finite_lam(name):
    experiment = EXPERIMENTS[name]
    for rows in (10, 5000):
        lam = experiment.s.inverse(experiment.start(rows))
        assert_allclose(experiment.s(np.array([lam])), experiment.start(rows), rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "outside"),
    [("ridge", [0.0, -3.0]), ("dropout", [0.0, 1.0, 1.5, -0.1]), ("nonlinear", [0.0, -0.2]), ("one-feature", [0.0])],
)
def test_a_start_outside_the_range_of_s_has_no_lam(name, outside):
    for value in outside:
        with pytest.raises(ValueError, match="strictly between"):
            EXPERIMENTS[name].s.inverse(value)


def test_units_are_what_s_gives():
    kinds = {"penalty": (Exp, Linear), "rate": (Logistic,)}
    assert all(isinstance(experiment.s, kinds[experiment.unit]) for experiment in EXPERIMENTS.values())


@given(st.integers(1, 5), seeds)
def test_the_linear_network_starts_near_the_identity(m, seed):
    w = near_identity(np.random.default_rng(seed), m)
    layers, row = w[: 5 * m * m].reshape(5, m, m), w[5 * m * m :]
    # Six standard errors of a normal number.
    assert np.abs(layers - np.eye(m)).max() < 6 * 0.05
    assert np.abs(row).max() < 6 * 0.1
    assert len(row) == m
    assert_array_equal(w, near_identity(np.random.default_rng(seed), m))


def test_the_start_of_the_linear_network_has_the_noise_that_is_stated():
    w = near_identity(np.random.default_rng(0), 30)
    assert_allclose((w[:4500].reshape(5, 30, 30) - np.eye(30)).std(), 0.05, rtol=0.1)
    many = [near_identity(np.random.default_rng(seed), 2)[-2:] for seed in range(500)]
    assert_allclose(np.std(many), 0.1, rtol=0.1)


@given(names, seeds)
def test_every_start_has_the_weights_that_the_problem_needs(name, seed):
    experiment, parts = EXPERIMENTS[name], random_split(seed)
    problem = experiment.problem(parts)
    w0 = experiment.weights(np.random.default_rng(seed), problem.X.shape[-1])
    assert problem.f(w0).shape == (problem.X.shape[-1],)


# Problems.


@given(seeds)
def test_divisors_and_kinds(seed):
    parts = random_split(seed)
    assert ridge(parts).divisor == len(parts.X)
    assert ridge_undivided(parts).divisor == 1.0
    assert linear_network(parts).divisor == len(parts.X)
    assert linear_network_undivided(parts).divisor == 1.0
    assert linear_network(parts).depth == linear_network_undivided(parts).depth == 5
    assert isinstance(linear_network(parts), LinearNetwork)
    assert isinstance(dropout(parts), InputDropout)
    assert dropout(parts).inverted


@given(names, st.tuples(seeds, seeds, seeds))
def test_a_stack_of_splits_is_each_of_them(name, three):
    experiment = EXPERIMENTS[name]
    parts = [random_split(seed) for seed in three]
    together, lam = experiment.problem(stack(parts)), np.full((3, 1), 0.7)
    for k, part in enumerate(parts):
        alone = experiment.problem(part)
        assert_allclose(np.asarray(together.outer_loss(lam))[k], alone.outer_loss(lam[k]), rtol=1e-12)
        assert_array_equal(together.X[k], alone.X)


@given(seeds)
def test_one_feature_is_the_one_that_correlates_most(seed):
    parts = random_split(seed)
    correlations = [abs(np.corrcoef(parts.X[:, j], parts.t)[0, 1]) for j in range(4)]
    best = int(np.argmax(correlations))
    assert_array_equal(one_feature(parts).X, parts.X[:, [best]])
    assert_array_equal(one_feature(parts).X_valid, parts.X_valid[:, [best]])


@given(seeds)
def test_nonlinear_takes_the_two_features_that_correlate_most(seed):
    parts = random_split(seed)
    correlations = [abs(np.corrcoef(parts.X[:, j], parts.t)[0, 1]) for j in range(4)]
    assert_array_equal(saturating(parts).X, parts.X[:, np.argsort(correlations)[:-3:-1]])


@given(seeds)
def test_slopes_saturate_just_beyond_the_largest_best_ones(seed):
    parts = random_split(seed)
    problem = saturating(parts)
    A, Xt, n = problem.X.T @ problem.X, problem.X.T @ parts.t, len(parts.X)
    slopes = [np.linalg.solve(A + n * penalty * np.eye(2), Xt) for penalty in np.linspace(0, 5, 501)]
    largest = np.abs(slopes).max(axis=0)
    assert (largest < problem.c).all()
    # The grid of penalties that c is found on is coarser.
    assert (problem.c <= 1.02 * largest * (1 + 1e-12)).all()
    assert np.isfinite(problem.optimum().loss_star)


def test_nonlinear_with_one_feature_only():
    problem = saturating(random_split(0, m=1))
    assert problem.X.shape[-1] == 1
    assert np.isfinite(problem.optimum().loss_star)


def test_a_slope_that_is_0_at_every_penalty_has_a_bound_all_the_same():
    t, other = np.tile([1.0, 1.0, -1.0, -1.0], 3), np.tile([1.0, -1.0, 1.0, -1.0], 3)
    parts = Split(np.zeros((12, 2)), t, np.zeros((2, 2)), np.array([1.0, 0.0]))
    problem = saturating(with_columns(parts, t, other))
    assert problem.c[1] == 1.0
    assert abs(problem.best_response(np.array([0.2]))[1]) < 1e-15


# What cannot be made into a problem.


def constant_column(parts, value):
    """The split with a second column that StandardScaler found constant, with what rounding leaves of it."""
    return with_columns(parts, parts.X[:, 0], np.full(len(parts.X), value))


@pytest.mark.parametrize("rest", [0.0, -1.4e-17, 3e-16])
def test_dropout_and_nonlinear_refuse_a_constant_feature_which_ridge_does_not_mind(rest):
    parts = constant_column(random_split(1), rest)
    with pytest.raises(UserError, match="constant over the training rows"):
        dropout(parts)
    with pytest.raises(UserError, match="constant"):
        saturating(parts)
    weights = ridge(parts).best_response(np.array([0.0]))
    assert np.isfinite(weights).all()
    assert abs(weights[1]) < 1e-12


def test_nonlinear_refuses_features_of_which_one_tells_no_more_than_the_other():
    parts = random_split(2)
    with pytest.raises(UserError, match="dependent"):
        saturating(with_columns(parts, parts.X[:, 0], -parts.X[:, 0]))


def test_one_replicate_with_a_constant_feature_is_enough_to_refuse():
    good, bad = random_split(3, m=2), constant_column(random_split(4, m=2), 0.0)
    with pytest.raises(UserError, match="a seed"):
        dropout(stack([good, bad]))
    with pytest.raises(UserError, match="a seed"):
        saturating(stack([good, bad]))


def test_the_sets_at_hand_make_every_problem():
    for name in ("diabetes", "concrete"):
        parts = stack([split(load(name), seed) for seed in range(5)])
        for experiment in EXPERIMENTS.values():
            assert np.isfinite(experiment.problem(parts).outer_loss(np.full((5, 1), 0.5))).all()
