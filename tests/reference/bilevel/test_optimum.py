"""Eqn. 2.2 solved in one dimension: curves whose minimum is known, wherever it may lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.bilevel.optimum import bounded_optimum
from reference.bilevel.problem import Problem
from reference.bilevel.transforms import Exp
from tests.strategies import EXACT, STEP, Case, dropouts, ridges

BOUNDS = (-15.0, 15.0)

inside = st.floats(-14.0, 14.0)
steepness = st.floats(0.1, 10.0)
heights = st.floats(-5.0, 5.0)


@given(inside, steepness)
def test_a_minimum_inside_is_found(place, steep):
    lam_star, where = bounded_optimum(
        lambda lam: steep * (lam[..., 0] - place) ** 2, lambda lam: 2 * steep * (lam - place), BOUNDS
    )
    assert_allclose(lam_star, [place], atol=1e-11)
    assert where == "interior"


@given(inside, st.floats(1e-12, 1e-6))
def test_a_minimum_is_found_that_the_loss_itself_hardly_shows(place, depth):
    # Beside a height of 1 differences of the loss are rounding; the slope is not.
    lam_star, where = bounded_optimum(
        lambda lam: 1.0 + depth * np.cosh(lam[..., 0] - place), lambda lam: depth * np.sinh(lam - place), BOUNDS
    )
    assert_allclose(lam_star, [place], atol=1e-11)
    assert where == "interior"


@given(st.floats(-15.0, 10.0), st.floats(1.0, 5.0), st.sampled_from([-1.0, 1.0]))
def test_a_minimum_at_an_end_is_that_end_exactly(low, width, sign):
    bounds = (low, low + width)
    lam_star, where = bounded_optimum(
        lambda lam: np.exp(sign * lam[..., 0]), lambda lam: sign * np.exp(sign * lam), bounds
    )
    assert where == ("lower end" if sign > 0 else "upper end")
    assert lam_star[0] == bounds[0 if sign > 0 else 1]


@given(heights)
def test_a_flat_curve_is_called_flat(height):
    lam_star, where = bounded_optimum(lambda lam: np.full(lam.shape[:-1], height), np.zeros_like, BOUNDS)
    assert where == "flat"
    assert_array_equal(lam_star, [0.0])


@given(inside, st.floats(1e-9, 1e-7))
def test_a_curve_is_flat_only_to_twelve_digits(place, depth):
    lam_star, where = bounded_optimum(
        lambda lam: 1.0 + depth * (lam[..., 0] - place) ** 2, lambda lam: 2 * depth * (lam - place), BOUNDS
    )
    assert where == "interior"
    assert_allclose(lam_star, [place], atol=1e-11)


@given(st.sampled_from([-1.0, 1.0]), heights.filter(lambda height: abs(height) > 0.1))
def test_a_curve_that_has_levelled_off_is_least_at_its_end(sign, height):
    # It rises on one side; on the other all that is left of its slope is exp(-10 |x|), which the loss cannot show.
    def curve(lam):
        x = sign * lam[..., 0]
        return height + np.where(x > 0, x**2, np.exp(10 * x) * 1e-3 * abs(height))

    def slope(lam):
        x = sign * lam
        return sign * np.where(x > 0, 2 * x, 10 * np.exp(10 * x) * 1e-3 * abs(height))

    lam_star, where = bounded_optimum(curve, slope, BOUNDS)
    assert where == ("lower end" if sign > 0 else "upper end")
    assert lam_star[0] == -sign * 15.0


def wells(places, depths):
    """A curve with wells, and its slope."""

    def curve(lam):
        return np.asarray(2.0 - sum(d * np.exp(-((lam[..., 0] - x) ** 2)) for d, x in zip(depths, places, strict=True)))

    def slope(lam):
        return np.asarray(
            sum(2 * d * (lam - x) * np.exp(-((lam - x) ** 2)) for d, x in zip(depths, places, strict=True))
        )

    return curve, slope


@given(st.floats(-13.0, -3.0), st.floats(3.0, 13.0), st.booleans(), st.floats(0.05, 0.9))
def test_of_two_minima_the_lower_is_found(left, right, left_is_lower, less):
    depths = (1.0, 1.0 - less) if left_is_lower else (1.0 - less, 1.0)
    lam_star, where = bounded_optimum(*wells((left, right), depths), BOUNDS)
    # The other well's slope at six units off is exp(-36) of its depth.
    assert_allclose(lam_star, [left if left_is_lower else right], atol=1e-11)
    assert where == "interior"


def test_of_two_minima_that_are_equally_low_none_is_chosen():
    with pytest.raises(ValueError, match="-5 and 5 have the least loss to twelve digits"):
        bounded_optimum(*wells((-5.0, 5.0), (1.0, 1.0)), BOUNDS)


@given(st.integers(0, 600), st.sampled_from([np.nan, np.inf, -np.inf]), st.booleans())
def test_a_loss_or_slope_that_is_not_finite_somewhere_is_refused(k, value, in_loss):
    place = np.linspace(*BOUNDS, 601)[k]

    def broken(function, breaks):
        return lambda lam: np.where(breaks & (lam[..., :1] == place), value, function(lam))

    curve, slope = broken(lambda lam: lam**2, in_loss), broken(lambda lam: 2 * lam, not in_loss)
    with pytest.raises(ValueError, match="not finite"):
        bounded_optimum(lambda lam: curve(lam)[..., 0], slope, BOUNDS)


def bowl(place):
    """cosh about a place, and its slope."""
    return lambda lam: np.cosh((lam[..., 0] - place) / 4), lambda lam: np.sinh((lam - np.asarray(place)[..., None]) / 4)


@given(st.lists(inside, min_size=2, max_size=4))
def test_replicates_are_as_if_alone_bit_for_bit(places):
    lam_star, where = bounded_optimum(*bowl(np.array(places)), BOUNDS)
    assert lam_star.shape == (len(places), 1)
    for k, place in enumerate(places):
        alone, where_alone = bounded_optimum(*bowl(place), BOUNDS)
        assert lam_star[k] == alone
        assert where[k] == where_alone


def test_each_replicate_has_a_kind_of_minimum_of_its_own():
    sloping = np.array([[1.0, -1.0], [0.0, 0.0]])
    bent = np.array([[0.0, 0.0], [0.0, 1.0]])
    lam_star, where = bounded_optimum(
        lambda lam: 1 + sloping * lam[..., 0] + bent * lam[..., 0] ** 2,
        lambda lam: sloping[..., None] + 2 * bent[..., None] * lam,
        BOUNDS,
    )
    assert_array_equal(where, [["lower end", "upper end"], ["flat", "interior"]])
    assert lam_star.shape == (2, 2, 1)


@given(ridges(s=st.just(Exp())) | dropouts())
def test_at_lam_star_the_outer_loss_is_level_or_falls_over_an_end(case: Case[Problem]):
    problem, optimum = case.problem, case.problem.optimum()
    gradient = problem.hypergradient(optimum.lam_star)[..., 0]
    curvature = (problem.hypergradient(optimum.lam_star + STEP) - gradient[..., None])[..., 0] / STEP
    # λ* has twelve digits; beside it stands the rounding of the two factors of the hypergradient.
    r = problem.best_response(optimum.lam_star)
    factors = np.linalg.norm(problem.valid_grad_w(optimum.lam_star, r), axis=-1)
    factors = factors * np.linalg.norm(problem.best_response_jacobian(optimum.lam_star), axis=(-2, -1))
    level = 1e-10 * np.abs(curvature) + EXACT * factors
    inner, lower = optimum.where == "interior", optimum.where == "lower end"
    assert (np.abs(gradient) <= level)[inner].all()
    assert (gradient >= 0)[lower].all()
    assert (gradient <= 0)[optimum.where == "upper end"].all()


@given(ridges(s=st.just(Exp())) | dropouts())
def test_no_lam_of_another_grid_is_better(case: Case[Problem]):
    actual = case.problem.optimum()
    grid = np.linspace(-14.97, 14.9, 173).reshape(-1, *[1] * (actual.loss_star.ndim + 1))
    losses = case.problem.outer_loss(grid)
    assert (losses.min(axis=0) >= actual.loss_star - EXACT * losses.max(axis=0)).all()
