"""Draws of a replicate: its own, whoever runs beside it and however many are made at a time."""

from itertools import islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import toy.loop.draws
from toy.loop.draws import normals, row_batches, streams, uniforms

seeds = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4, unique=True)
sizes = st.integers(1, 7)
SIX_STANDARD_ERRORS = 6.0


def several(name, seeds, count=5, n=7, size=3):
    """`count` draws of a kind for these seeds, along a first axis."""
    _, rows, noise, masks = streams(seeds)
    kinds = {"rows": row_batches(rows, n, size), "normals": normals(noise, 2), "uniforms": uniforms(masks, size, n)}
    return np.stack(list(islice(kinds[name], count)))


kinds = st.sampled_from(["rows", "normals", "uniforms"])


@given(kinds, seeds, st.data())
def test_a_replicate_draws_what_it_would_alone(name, seeds, data):
    together = several(name, seeds, count=150)
    k = data.draw(st.integers(0, len(seeds) - 1))
    assert_array_equal(together[:, [k]], several(name, seeds[k : k + 1], count=150))


@given(kinds, seeds)
def test_draws_do_not_depend_on_how_many_are_made_at_a_time(name, seeds):
    expected = several(name, seeds, count=70)
    for block in (1, 7, 64, 100):
        toy.loop.draws.BLOCK, before = block, toy.loop.draws.BLOCK
        try:
            assert_array_equal(several(name, seeds, count=70), expected)
        finally:
            toy.loop.draws.BLOCK = before


@given(kinds, seeds)
def test_the_same_seed_draws_the_same_again(name, seeds):
    assert_array_equal(several(name, seeds), several(name, seeds))


@given(kinds, st.integers(0, 2**32 - 2))
def test_neighbouring_seeds_draw_differently(name, seed):
    draws = several(name, [seed, seed + 1], n=50)
    assert (draws[:, 0] != draws[:, 1]).any()


@given(st.integers(0, 2**32 - 1))
def test_the_four_streams_of_a_seed_differ(seed):
    numbers = [stream[0].random(4) for stream in streams([seed])]
    assert len(np.unique(numbers)) == 16


@given(seeds)
def test_what_is_drawn_of_one_kind_does_not_move_another(seeds):
    _, rows, noise, masks = streams(seeds)
    batches, normal, uniform = row_batches(rows, 7, 3), normals(noise, 2), uniforms(masks, 3, 7)
    mixed = [(next(batches), next(normal), next(uniform)) for _ in range(5)]
    for name, draws in zip(("rows", "normals", "uniforms"), zip(*mixed, strict=True), strict=True):
        assert_array_equal(np.stack(draws), several(name, seeds))


@given(seeds, st.integers(1, 12), st.integers(1, 15))
def test_an_epoch_goes_once_through_the_rows_and_drops_what_is_left_over(seeds, n, size):
    per_epoch = n // min(size, n)
    batches = islice(row_batches(streams(seeds)[1], n, size), 3 * per_epoch)
    for epoch in range(3):
        seen = np.concatenate(list(islice(batches, per_epoch)), axis=1)
        assert seen.shape == (len(seeds), per_epoch * min(size, n))
        for replicate in seen:
            assert len(set(replicate)) == len(replicate), f"a row came twice in epoch {epoch}"
            assert set(replicate) <= set(range(n))


@given(st.integers(0, 2**32 - 1))
def test_epochs_are_in_different_orders(seed):
    first, second = islice(row_batches(streams([seed])[1], 30, 30), 2)
    assert (first != second).any()


@given(seeds, sizes, sizes)
def test_shapes(seeds, n, size):
    assert several("rows", seeds, n=n, size=size).shape[1:] == (len(seeds), min(n, size))
    assert several("normals", seeds).shape[1:] == (len(seeds), 2)
    assert several("uniforms", seeds, n=n, size=size).shape[1:] == (len(seeds), size, n)


def test_normals_are_standard_and_independent_of_each_other():
    draws = several("normals", range(4), count=4000).reshape(4000, 8)
    limit = SIX_STANDARD_ERRORS / np.sqrt(4000)
    assert np.abs(draws.mean(axis=0)).max() < limit
    assert np.abs(draws.T @ draws / 4000 - np.eye(8)).max() < np.sqrt(2) * limit
    within = 0.6827  # of a normal distribution lies within one standard deviation
    assert np.abs((np.abs(draws) < 1.0).mean(axis=0) - within).max() < limit * np.sqrt(within * (1 - within))


def test_uniforms_fill_the_unit_interval():
    draws = several("uniforms", range(2), count=2000).ravel()
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    counts = np.histogram(draws, bins=10, range=(0.0, 1.0))[0] / len(draws)
    assert np.abs(counts - 0.1).max() < SIX_STANDARD_ERRORS * np.sqrt(0.09 / len(draws))
