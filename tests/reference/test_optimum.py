"""Eqn. 2.2 solved in one dimension: curves whose minimum is known, wherever it may lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.optimum import bounded_optimum
from reference.problem import Problem
from reference.transforms import Exp
from tests.strategies import DIFFERENCE, EXACT, STEP, Case, dropouts, ridges

BOUNDS = (-15.0, 15.0)
LOCATED = 1e-6
"""A minimum is flat, so λ* is found only to the square root of machine precision, 1.5e-8, times the curve's scale."""

inside = st.floats(-14.0, 14.0)
steepness = st.floats(0.1, 10.0)
heights = st.floats(-5.0, 5.0)


@given(inside, steepness)
def test_a_minimum_inside_is_found(where, steep):
    found = bounded_optimum(lambda lam: steep * (lam[..., 0] - where) ** 2, BOUNDS)
    assert_allclose(found.lam_star, [where], atol=LOCATED)
    assert found.where == "interior"


@given(inside, steepness, heights)
def test_the_loss_is_that_of_the_lam_that_is_given(where, steep, height):
    def curve(lam):
        return height + np.log(np.cosh(steep * (lam[..., 0] - where)))

    found = bounded_optimum(curve, BOUNDS)
    assert_array_equal(found.loss_star, curve(found.lam_star))
    assert_allclose(found.loss_star, height, rtol=EXACT, atol=EXACT)


@given(st.floats(-15.0, 10.0), st.floats(1.0, 5.0), st.sampled_from([-1.0, 1.0]))
def test_a_minimum_at_an_end_is_that_end_exactly(low, width, sign):
    bounds = (low, low + width)
    found = bounded_optimum(lambda lam: np.exp(sign * lam[..., 0]), bounds)
    assert found.where == ("lower end" if sign > 0 else "upper end")
    assert found.lam_star[0] == bounds[0 if sign > 0 else 1]
    assert_allclose(found.loss_star, np.exp(sign * found.lam_star[0]), rtol=EXACT)


@given(heights)
def test_a_flat_curve_is_called_flat(height):
    found = bounded_optimum(lambda lam: np.full(lam.shape[:-1], height), BOUNDS)
    assert found.where == "flat"
    assert found.loss_star == height
    assert_array_equal(found.lam_star, [0.0])


@given(st.sampled_from([-1.0, 1.0]), heights.filter(lambda height: abs(height) > 0.1))
def test_a_curve_that_has_levelled_off_is_least_at_its_end(sign, height):
    def curve(lam):  # rises on one side; on the other only rounding is left, with a spurious minimum
        x = sign * lam[..., 0]
        return height + np.where(x > 0, x**2, 1e-14 * np.cos(x))

    found = bounded_optimum(curve, BOUNDS)
    assert found.where == ("lower end" if sign > 0 else "upper end")
    assert found.lam_star[0] == -sign * 15.0


@given(st.floats(-13.0, -3.0), st.floats(3.0, 13.0), st.booleans(), st.floats(0.05, 0.9))
def test_of_two_minima_the_lower_is_found(left, right, left_is_lower, less):
    depths = (1.0, 1.0 - less) if left_is_lower else (1.0 - less, 1.0)

    def curve(lam):
        wells = (depth * np.exp(-((lam[..., 0] - x) ** 2)) for depth, x in zip(depths, (left, right), strict=True))
        return np.asarray(2.0 - sum(wells))

    found = bounded_optimum(curve, BOUNDS)
    # The other well's slope at six units off is exp(-36) of its depth.
    assert_allclose(found.lam_star, [left if left_is_lower else right], atol=LOCATED)


@given(st.integers(0, 600), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_loss_that_is_not_finite_somewhere_is_refused(k, value):
    grid = np.linspace(*BOUNDS, 601)
    with pytest.raises(ValueError, match="not finite"):
        bounded_optimum(lambda lam: np.where(lam[..., 0] == grid[k], value, lam[..., 0] ** 2), BOUNDS)


@given(st.lists(inside, min_size=2, max_size=4))
def test_replicates_are_as_if_alone_bit_for_bit(places):
    where = np.array(places)

    def curve(lam, where=where):
        return np.cosh((lam[..., 0] - where) / 4)

    together = bounded_optimum(curve, BOUNDS)
    assert together.lam_star.shape == (len(places), 1)
    for k, place in enumerate(places):
        alone = bounded_optimum(lambda lam, place=place: np.cosh((lam[..., 0] - place) / 4), BOUNDS)
        assert together.lam_star[k] == alone.lam_star
        assert together.loss_star[k] == alone.loss_star
        assert together.where[k] == alone.where


def test_each_replicate_has_a_kind_of_minimum_of_its_own():
    sloping = np.array([[1.0, -1.0], [0.0, 0.0]])
    bowl = np.array([[0.0, 0.0], [0.0, 1.0]])
    found = bounded_optimum(lambda lam: 1 + sloping * lam[..., 0] + bowl * lam[..., 0] ** 2, BOUNDS)
    assert_array_equal(found.where, [["lower end", "upper end"], ["flat", "interior"]])
    assert found.lam_star.shape == (2, 2, 1)


@given(ridges(s=st.just(Exp())) | dropouts())
def test_at_lam_star_the_outer_loss_is_level_or_falls_over_an_end(case: Case[Problem]):
    problem, found = case.problem, case.problem.optimum()
    gradient = problem.hypergradient(found.lam_star)[..., 0]
    curvature = (problem.hypergradient(found.lam_star + STEP) - gradient[..., None])[..., 0] / STEP
    # λ* is off by at most LOCATED times a scale of curves in exp(λ), and rounding in the loss hides what is flatter.
    level = 1e2 * LOCATED * np.abs(curvature) + DIFFERENCE * found.loss_star + DIFFERENCE * STEP
    inner, lower = found.where == "interior", found.where == "lower end"
    assert (np.abs(gradient) <= level)[inner].all()
    assert (gradient >= -level)[lower].all()
    assert (gradient <= level)[found.where == "upper end"].all()


@given(ridges(s=st.just(Exp())) | dropouts())
def test_no_lam_of_another_grid_is_better(case: Case[Problem]):
    found = case.problem.optimum()
    grid = np.linspace(-14.97, 14.9, 173).reshape(-1, *[1] * (found.loss_star.ndim + 1))
    losses = case.problem.outer_loss(grid)
    assert (losses.min(axis=0) >= found.loss_star - EXACT * losses.max(axis=0)).all()
