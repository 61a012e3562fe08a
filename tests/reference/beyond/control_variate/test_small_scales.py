"""σ so small that σ² is 0 in float64: every answer is that of the limit."""

import numpy as np
from hypothesis import given
from numpy.testing import assert_allclose

from reference.beyond.control_variate.normalised import per_variance, root_mean_square
from reference.beyond.control_variate.updates import DELTA_STN_NORMALISED, inner_step
from reference.beyond.control_variate.variance import normalised_variance
from reference.beyond.theory.rank_one import OneUnit
from reference.problems import fixed_points
from reference.problems.ridge import Ridge
from reference.rule.hypernet import FullResponse
from reference.rule.structured import StructuredResponse
from reference.rule.updates import State, outer_gradients
from tests.strategies import Case, generators, ridges

TINY = 1e-200


@given(ridges())
def test_minimisers_are_the_best_response_and_its_jacobian(case: Case[Ridge]) -> None:
    ridge, lam = case.problem, case.lam
    r, J, sigma = ridge.best_response(lam), ridge.best_response_jacobian(lam), np.full(lam.shape, TINY)
    w0, Theta = fixed_points.joint_minimiser(ridge, lam, sigma)
    assert_allclose(w0, r, rtol=1e-9, atol=1e-12)
    for learned in (Theta, fixed_points.response_minimiser(ridge, lam, r, sigma)):
        assert_allclose(learned, J, rtol=1e-9, atol=1e-9 * np.abs(J).max())
    assert_allclose(fixed_points.appendix_d_response(ridge, lam, r, sigma), J, rtol=1e-9, atol=1e-9 * np.abs(J).max())


@given(generators())
def test_a_step_divided_by_the_variance_is_that_of_a_larger_scale(rng: np.random.Generator) -> None:
    # Of g εᵀ/σ² with ε = σz the step is g zᵀ/σ; multiplied by σ it depends on z alone.
    z, g, scales = rng.normal(size=3), rng.normal(size=4), rng.uniform(0.5, 2.0, 3)
    for response in (
        FullResponse(rng.normal(size=(4, 3))),
        StructuredResponse(*(rng.normal(size=shape) for shape in ((2, 1), (2,), (2, 3), (2, 3)))),
        OneUnit(rng.normal(size=4), rng.normal(size=3)),
    ):
        steps = []
        for size in (1.0, TINY):
            sigma = size * scales
            gradient = per_variance(response.gradient(sigma * z, g), sigma)
            steps.append({name: size * value for name, value in vars(gradient).items()})
        for name, value in steps[0].items():
            assert_allclose(steps[1][name], value, rtol=1e-12)


@given(generators())
def test_the_root_mean_square_scales(rng: np.random.Generator) -> None:
    sigma = rng.uniform(0.5, 2.0, (2, 3))
    assert_allclose(root_mean_square(sigma)[..., 0], np.sqrt(np.mean(sigma**2, axis=-1)), rtol=1e-14)
    assert_allclose(root_mean_square(TINY * sigma), TINY * root_mean_square(sigma), rtol=1e-14)


@given(generators())
def test_the_noise_with_the_control_variate_is_bounded_and_without_it_is_not(rng: np.random.Generator) -> None:
    M, b, sigma = rng.normal(size=(3, 2)), rng.normal(size=3), np.full(2, TINY)
    assert_allclose(normalised_variance(M, np.zeros(3), sigma), 3 * np.sum(M**2), rtol=1e-12)
    with np.errstate(over="ignore"):
        assert normalised_variance(M, b, sigma) == np.inf


@given(ridges())
def test_both_steps_are_finite(case: Case[Ridge]) -> None:
    ridge, lam = case.problem, case.lam
    sigma, m = np.full(lam.shape, TINY), case.w.shape[-1]
    state = State(lam, sigma, case.w, FullResponse(np.zeros((*case.w.shape, 1))))
    moved = inner_step(DELTA_STN_NORMALISED, state, sigma, ridge, ridge, 1e-210)
    assert isinstance(moved.response, FullResponse)
    assert np.isfinite(moved.response.Theta).all()
    assert moved.response.Theta.shape[-2] == m
    g_lam, g_sigma = outer_gradients(DELTA_STN_NORMALISED, state, sigma, ridge, tau=0.1)
    assert np.isfinite(g_lam).all()
    assert_allclose(g_sigma, g_lam - 0.1 / TINY)
