"""The two-level loop against Alg. 1 and Alg. 2 written out for one replicate of ridge regression."""

from copy import copy
from dataclasses import replace
from functools import partial
from itertools import count, islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.problems.ridge import Ridge
from reference.rule.hypernet import FullResponse
from reference.rule.updates import CENTERED_STN, DELTA_STN, METHODS, REPARAM_STN, STN, State
from tests.strategies import EXACT
from toy.loop.train import Schedule, train

SHORT = Schedule(alpha1=0.05, T_train=3, warm_up=4, updates=5, keep_every=1)
methods = st.sampled_from(METHODS)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=8)
"""Each example is a hundred steps, whose shapes are checked at every call."""


def theta(state):
    """Θ (or Φ)."""
    assert isinstance(state.response, FullResponse)
    return state.response.Theta


class Setting:
    """R replicates of ridge regression, a start, and every draw that a run of `schedule` needs."""

    def __init__(self, seed, schedule=SHORT, R=2, n=12, m=3, b=4):
        rng = np.random.default_rng(seed)
        self.schedule = schedule
        X, t, X_valid, t_valid = (rng.normal(size=(R, *shape)) for shape in ((n, m), (n,), (5, m), (5,)))
        self.problem = Ridge(X, t, X_valid, t_valid, divisor=float(n))
        lam, sigma = rng.normal(size=(R, 1)), rng.uniform(0.5, 1.5, size=(R, 1))
        response = FullResponse(rng.normal(size=(R, m, 1)))
        self.state = State(lam, sigma, rng.normal(size=(R, m)), response)
        inner = schedule.warm_up + schedule.T_train * schedule.updates
        self.rows = [rng.integers(n, size=(R, b)) for _ in range(inner)]
        self.z = [rng.normal(size=(R, 1)) for _ in range(inner + schedule.T_valid * schedule.updates)]

    def train(self, method):
        """(update, state) of each kept step; no draw is left over."""
        minibatches = ((self.problem.rows(rows), self.problem.rows(rows)) for rows in self.rows)
        normals = iter(self.z)
        steps = list(train(self.problem, method, self.state, minibatches, normals, self.schedule))
        assert next(minibatches, None) is None
        assert next(normals, None) is None
        return steps

    def only(self, k):
        """Replicate k's part of it."""
        part, first = copy(self), slice(k, k + 1)
        data = {name: getattr(self.problem, name)[first] for name in ("X", "t", "X_valid", "t_valid")}
        part.problem = replace(self.problem, **data)
        response = FullResponse(theta(self.state)[first])
        part.state = State(self.state.lam[first], self.state.sigma[first], self.state.w0[first], response)
        part.rows, part.z = [draw[first] for draw in self.rows], [draw[first] for draw in self.z]
        return part

    def naive(self, inner, outer, k):
        """(update, λ, w0, Θ) of each kept step of replicate k alone."""
        problem, schedule = self.problem, self.schedule
        X, t, X_valid, t_valid = (getattr(problem, name)[k] for name in ("X", "t", "X_valid", "t_valid"))
        lam, sigma = self.state.lam[k, 0], self.state.sigma[k, 0]
        w0, Theta = self.state.w0[k].copy(), theta(self.state)[k, :, 0].copy()
        rows, eps = iter([draw[k] for draw in self.rows]), iter([sigma * draw[k, 0] for draw in self.z])

        def grad_train(batch, lam, w):
            return X[batch].T @ (X[batch] @ w - t[batch]) / len(batch) + np.exp(lam) / len(X) * w

        def grad_valid(w):
            return X_valid.T @ (X_valid @ w - t_valid) / len(t_valid)

        kept, mean_square = [], 0.0
        for update in range(schedule.updates + 1):
            for _ in range(schedule.T_train if update else schedule.warm_up):
                w0, Theta = inner(partial(grad_train, next(rows)), schedule.alpha1, lam, w0, Theta, next(eps))
            for _ in range(schedule.T_valid if update else 0):
                drawn = next(eps)
                g = outer(grad_valid, lam, w0, Theta, 0.0 if schedule.unperturbed_outer else drawn)
                mean_square = 0.99 * mean_square + 0.01 * g**2
                lam = lam - schedule.alpha2 * g / (np.sqrt(mean_square) + 1e-8)
            if update % schedule.keep_every == 0:
                kept.append((update, lam, w0, Theta))
        return kept


def inner_1(grad, alpha1, lam, w0, Theta, eps):
    """Alg. 1; ridge regression is linear in w, so that it is its own linearisation."""
    w0 = w0 - alpha1 * grad(lam, w0)
    return w0, Theta - alpha1 * grad(lam + eps, w0 + Theta * eps) * eps


def outer_1(grad_valid, lam, w0, Theta, eps):
    """Alg. 1: the gradient in λ."""
    return Theta @ grad_valid(w0 + Theta * eps)


def inner_2(grad, alpha1, lam, phi0, Phi, eps):
    """Alg. 2."""
    g = grad(lam + eps, Phi * (lam + eps) + phi0)
    return phi0 - alpha1 * g, Phi - alpha1 * g * (lam + eps)


def outer_2(grad_valid, lam, phi0, Phi, eps):
    """Alg. 2: the gradient in λ."""
    return Phi @ grad_valid(Phi * (lam + eps) + phi0)


def inner_2_centred(grad, alpha1, lam, w0, Theta, eps):
    """Alg. 2 with Eqn. 3.1 in the place of Eqn. 2.6."""
    g = grad(lam + eps, w0 + Theta * eps)
    return w0 - alpha1 * g, Theta - alpha1 * g * eps


@pytest.mark.parametrize(
    ("method", "inner", "outer"),
    [
        (DELTA_STN, inner_1, outer_1),
        (CENTERED_STN, inner_1, outer_1),
        (STN, inner_2, outer_2),
        (REPARAM_STN, inner_2_centred, outer_1),
    ],
)
@few
@given(seeds, st.integers(1, 2), st.booleans())
def test_the_loop_is_the_algorithm_of_the_paper(method, inner, outer, seed, T_valid, unperturbed_outer):
    setting = Setting(seed, replace(SHORT, T_valid=T_valid, unperturbed_outer=unperturbed_outer))
    steps = setting.train(method)
    for k in range(2):
        for (update, state), (naive_update, lam, w0, Theta) in zip(steps, setting.naive(inner, outer, k), strict=True):
            assert update == naive_update
            assert_allclose(state.lam[k, 0], lam, rtol=EXACT, atol=EXACT)
            scale = EXACT * np.abs([*w0, *Theta]).max()
            assert_allclose(state.w0[k], w0, rtol=EXACT, atol=scale)
            assert_allclose(theta(state)[k, :, 0], Theta, rtol=EXACT, atol=scale)
            assert_array_equal(state.sigma, setting.state.sigma)


@few
@given(methods, seeds)
def test_replicates_are_as_if_alone_bit_for_bit(method, seed):
    together = Setting(seed, R=3)
    steps = together.train(method)
    for k in range(3):
        alone = together.only(k)
        for (_, both), (_, item) in zip(steps, alone.train(method), strict=True):
            assert_array_equal(both.lam[k], item.lam[0])
            assert_array_equal(both.w0[k], item.w0[0])
            assert_array_equal(theta(both)[k], theta(item)[0])


@given(
    methods,
    st.integers(0, 5),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(0, 7),
    st.integers(1, 3),
)
def test_every_draw_is_used_and_every_kept_step_given(method, warm_up, T_train, T_valid, updates, keep_every):
    schedule = Schedule(0.01, 0.02, T_train, T_valid, warm_up, updates, keep_every)
    steps = Setting(0, schedule).train(method)  # which sees that as many draws were used as there were
    assert [update for update, _ in steps] == list(range(0, updates + 1, keep_every))


@few
@given(methods, seeds)
def test_warm_up_leaves_lam_alone_but_perturbs(method, seed):
    setting = Setting(seed)
    update, state = setting.train(method)[0]
    assert update == 0
    assert_array_equal(state.lam, setting.state.lam)
    assert (state.w0 != setting.state.w0).all()
    assert (theta(state) != theta(setting.state)).any(axis=(1, 2)).all()
    setting.z = [np.zeros_like(z) for z in setting.z]
    unperturbed = setting.train(method)[0][1]
    assert (theta(state) != theta(unperturbed)).any(axis=(1, 2)).all()


@few
@given(methods, seeds)
def test_without_outer_steps_lam_is_held(method, seed):
    setting = Setting(seed, replace(SHORT, T_valid=0))
    steps = setting.train(method)
    assert len(steps) == 6
    for _, state in steps:
        assert_array_equal(state.lam, setting.state.lam)
    assert (steps[-1][1].w0 != steps[0][1].w0).any()


@few
@given(methods, seeds)
def test_nothing_that_goes_in_is_changed(method, seed):
    setting, before = Setting(seed), Setting(seed)
    setting.train(method)
    for name in ("lam", "sigma", "w0"):
        assert_array_equal(getattr(setting.state, name), getattr(before.state, name))
    assert_array_equal(setting.problem.X, before.problem.X)


def test_draws_without_end_are_taken_one_by_one():
    setting = Setting(0)
    taken = count()
    normals = (np.zeros((2, 1)) for _ in taken)
    minibatches = ((setting.problem, setting.problem) for _ in count())
    steps = train(setting.problem, DELTA_STN, setting.state, minibatches, normals, SHORT)
    assert next(taken) == 0
    assert [update for update, _ in islice(steps, 2)] == [0, 1]
    assert next(taken) == 1 + SHORT.warm_up + SHORT.T_train + SHORT.T_valid


@given(st.integers(0, 100), st.integers(1, 20), st.integers(0, 1000))
def test_iterations_count_the_warm_up(warm_up, T_train, update):
    schedule = Schedule(0.01, T_train=T_train, warm_up=warm_up)
    assert schedule.iterations(update) == warm_up + sum(T_train for _ in range(update))
