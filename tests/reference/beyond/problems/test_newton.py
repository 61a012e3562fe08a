"""Damped Newton steps: minima known in closed form, from starts where the full step would run away."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.beyond.problems.newton import NotConverged, newton
from tests.strategies import exactly, generators, leads, normal, spectra, symmetric


@given(generators(), leads, spectra(3))
def test_a_quadratic_is_solved(rng, lead, eigenvalues):
    H, b = symmetric(rng, lead, eigenvalues), normal(rng, *lead, 3)

    def loss(w):
        return np.vecdot(w, np.matvec(H, w)) / 2 - np.vecdot(b, w)

    actual = newton(loss, lambda w: np.matvec(H, w) - b, lambda w: H, normal(rng, *lead, 3))
    assert_allclose(actual, *exactly(np.linalg.solve(H, b[..., None])[..., 0]))


@given(st.lists(st.floats(-30.0, 30.0), min_size=1, max_size=4), st.floats(-5.0, 5.0))
def test_from_far_away_every_replicate_arrives(starts, minimum):
    # √(1 + x²): a full step takes x to -x³, away from 0 wherever |x| > 1.
    w = np.array(starts)[:, None]
    actual = newton(
        lambda w: np.sqrt(1 + (w - minimum) ** 2)[..., 0],
        lambda w: (w - minimum) / np.sqrt(1 + (w - minimum) ** 2),
        lambda w: ((1 + (w - minimum) ** 2) ** -1.5)[..., None],
        w,
    )
    assert_allclose(actual, minimum, rtol=1e-14, atol=1e-13)


@given(st.lists(st.floats(-30.0, 30.0), min_size=2, max_size=4))
def test_each_replicate_steps_as_if_alone_to_the_bit(starts):
    def from_there(w):
        # √(1 + x²) again, by operations that are rounded alike for one number and for many.
        def length(w):
            return np.sqrt(1 + w * w)

        def hess(w):
            return (1 / (length(w) * length(w) * length(w)))[..., None]

        return newton(lambda w: length(w)[..., 0], lambda w: w / length(w), hess, w)

    w = np.array(starts)[:, None]
    assert_array_equal(from_there(w), np.stack([from_there(item) for item in w]))


@pytest.mark.parametrize(
    ("grad", "hess", "message"),
    [
        (lambda w: np.ones(1), lambda w: np.zeros((1, 1)), "singular"),
        (lambda w: np.full(1, np.nan), lambda w: np.eye(1), "no longer finite"),
        (lambda w: -np.ones(1), lambda w: np.eye(1), "no step"),  # uphill
        (lambda w: np.ones(1), lambda w: -np.eye(1), "not positive definite"),
        (lambda w: np.ones(1), lambda w: np.eye(1), "no minimum after 200"),  # a slope without end
    ],
)
def test_what_has_no_minimum_ends_in_words(grad, hess, message):
    with pytest.raises(NotConverged, match=message):
        newton(lambda w: w[..., 0], grad, hess, np.zeros(1))
