"""The noise of Θ's gradient for C.9: closed forms against quadrature over ε, of steps as the algorithm takes them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reference.beyond.control_variate.updates import DELTA_STN_CV, DELTA_STN_CV_NORMALISED, inner_step
from reference.beyond.control_variate.variance import covariance, minibatch_variance, normalised_variance, slope
from reference.rule.hypernet import FullResponse
from reference.rule.perturbation import quadrature
from reference.rule.updates import State, perturbed_gradient
from tests.strategies import (
    Case,
    differences,
    dropouts,
    exactly,
    few,
    full_response,
    generators,
    leads,
    linear_networks,
    normal,
    quadratics,
    ridges,
    sizes,
)

single = st.just(())


@st.composite
def states(draw: st.DrawFn, cases: st.SearchStrategy[Case]) -> tuple[Case, State]:
    """A case and a state of an algorithm on it, with a full response and unequal scales."""
    case = draw(cases)
    response = full_response(case.rng, case.lead, case.w.shape[-1], case.lam.shape[-1])
    sigma = case.rng.uniform(0.2, 1.0, size=case.lam.shape)
    return case, State(case.lam, sigma, case.w, response)


def taken(case: Case, state: State, eps: np.ndarray, method=DELTA_STN_CV) -> np.ndarray:
    """Θ's gradient at each ε as the step takes it."""
    after = inner_step(method, state, eps, case.problem, case.problem, 1.0).response
    assert isinstance(after, FullResponse)
    assert isinstance(state.response, FullResponse)
    return state.response.Theta - after.Theta


def plain(case: Case, state: State, eps: np.ndarray, w0: np.ndarray) -> np.ndarray:
    """Θ's gradient at each ε without the control variate, at w0."""
    g = perturbed_gradient(DELTA_STN_CV, case.problem, state.lam + eps, w0, state.response.apply(eps))
    return g[..., :, None] * eps[..., None, :]


@given(states(quadratics(single)))
def test_the_normalised_variance_is_the_mean_square_of_the_step_around_m(drawn):
    case, state = drawn
    problem = case.problem
    M, g0 = slope(problem, state.lam, state.w0, state.response.Theta), problem.grad_w(state.lam, state.w0)
    eps, weights = quadrature(state.sigma, nodes=4)
    reduced = taken(case, state, eps, DELTA_STN_CV_NORMALISED)
    whole = plain(case, state, eps, state.w0) / state.sigma**2
    size = (np.abs(M).max() ** 2 + np.abs(g0).max() ** 2 + np.abs(state.response.Theta).max() ** 2) / 0.2**2
    for b, gradients in ((0 * g0, reduced), (g0, whole)):
        mean_square = weights @ np.sum((gradients - M) ** 2, axis=(-2, -1))
        assert_allclose(normalised_variance(M, b, state.sigma), *exactly(mean_square, size))


@given(generators(), leads, sizes, few)
def test_of_replicates_as_of_each_alone(rng, lead, m, h):
    M, b, sigma = normal(rng, *lead, m, h), normal(rng, *lead, m), rng.uniform(0.2, 1.0, (*lead, h))
    together, variances = covariance(M, b, sigma), np.asarray(normalised_variance(M, b, sigma))
    for index in np.ndindex(lead):
        assert_allclose(together[index], *exactly(covariance(M[index], b[index], sigma[index])))
        divided = together[index] / sigma[index][:, None, None] ** 2 / sigma[index] ** 2
        assert_allclose(variances[index], *exactly(np.einsum("ijij->", divided)))


@given(states(ridges(single) | dropouts(single) | linear_networks(single) | quadratics(single)))
def test_the_slope_is_that_of_the_linearised_gradient_in_epsilon(drawn):
    case, state = drawn

    def gradient(eps: np.ndarray) -> np.ndarray:
        return perturbed_gradient(DELTA_STN_CV, case.problem, state.lam + eps, state.w0, state.response.apply(eps))

    desired = differences(gradient, np.zeros_like(state.lam))
    assert_allclose(slope(case.problem, state.lam, state.w0, state.response.Theta), *desired)


@given(generators(), st.integers(2, 4), st.integers(2, 3), leads)
def test_the_variance_over_minibatches(rng, k, m, lead):
    h = 2
    M, b, sigma = rng.normal(size=(*lead, k, m, h)), rng.normal(size=(*lead, k, m)), rng.uniform(0.2, 1.0, (*lead, h))
    variances = minibatch_variance(M, b, sigma)
    for index in np.ndindex(lead):
        points, weights = quadrature(sigma[index], nodes=3)
        draws = [
            (weight / k, np.outer(b[index][batch] + M[index][batch] @ eps, eps) / sigma[index] ** 2)
            for batch in range(k)
            for eps, weight in zip(points, weights, strict=True)
        ]
        mean = sum(weight * G for weight, G in draws)
        desired = sum(weight * np.sum((G - mean) ** 2) for weight, G in draws)
        assert_allclose(np.asarray(variances)[index], desired, rtol=1e-10)
