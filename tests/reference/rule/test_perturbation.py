"""Eqn. 2.7's perturbation: its entropy, a positive scale, and quadrature with known moments."""

from math import factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reference.rule.perturbation import entropy, expectation, quadrature, softplus, softplus_inverse
from tests.strategies import EXACT, differences, exactly, few, generators, leads

LOGNORMAL = 1e-12
"""Forty nodes leave nothing but rounding of exp(ε) at σ ≤ 1."""

scales = st.lists(st.floats(0.01, 5.0), min_size=1, max_size=3).map(np.array)
small = st.floats(0.05, 1.0)


@given(scales)
def test_the_entropy_grows_by_one_over_sigma(sigma):
    # At σ = 0.01 the third derivative, 2/σ³, leaves a truncation of 1e-7 of the slope.
    assert_allclose(1 / sigma, *differences(entropy, sigma))


@given(generators(), leads, few)
def test_the_entropy_of_replicates_equals_a_loop(rng, lead, h):
    sigma = rng.uniform(0.1, 2.0, size=(*lead, h))
    for index in np.ndindex(lead):
        assert_allclose(np.asarray(entropy(sigma))[index], entropy(sigma[index]), rtol=EXACT, atol=EXACT)


@given(scales, st.floats(-3.0, 0.0), st.data())
def test_a_scale_that_is_not_positive_has_no_entropy(sigma, value, data):
    sigma[data.draw(st.integers(0, len(sigma) - 1))] = value
    with pytest.raises(ValueError, match="not positive"):
        entropy(sigma)


@given(st.lists(st.floats(-30.0, 30.0), min_size=1, max_size=4).map(np.array))
def test_softplus_is_log_of_one_plus_exp_and_its_inverse_undoes_it(raw):
    sigma = softplus(raw)
    assert (sigma > 0).all()
    assert_allclose(sigma, np.log1p(np.exp(raw)), rtol=EXACT)
    assert_allclose(softplus_inverse(sigma), raw, rtol=EXACT, atol=EXACT)


@given(scales)
def test_softplus_undoes_its_inverse(sigma):
    assert_allclose(softplus(softplus_inverse(sigma)), sigma, rtol=EXACT)
    assert_allclose(np.exp(softplus_inverse(sigma)), np.expm1(sigma), rtol=EXACT)


def test_softplus_of_large_numbers_does_not_overflow():
    large = np.array([800.0, 1e6])
    assert_allclose(softplus(large), large, rtol=EXACT)
    assert_allclose(softplus_inverse(large), large, rtol=EXACT)


@given(scales, st.integers(1, 6))
def test_quadrature_has_the_moments_of_a_normal_up_to_its_degree(sigma, nodes):
    points, weights = quadrature(sigma, nodes)
    assert points.shape == (nodes ** len(sigma), len(sigma))
    for k, scale in enumerate(sigma):
        for degree in range(2 * nodes):
            double_factorial = factorial(degree) / (2 ** (degree // 2) * factorial(degree // 2))
            desired = 0.0 if degree % 2 else scale**degree * double_factorial
            terms = np.abs(points[:, k]) ** degree
            assert_allclose(weights @ points[:, k] ** degree, *exactly(desired, terms))


@given(scales, st.integers(1, 6))
def test_quadrature_is_not_exact_beyond_its_degree(sigma, nodes):
    # The error at degree 2k is that of the squared Hermite polynomial: k! σ^2k.
    points, weights = quadrature(sigma, nodes)
    for k, scale in enumerate(sigma):
        double_factorial = factorial(2 * nodes) / (2**nodes * factorial(nodes))
        desired = scale ** (2 * nodes) * (double_factorial - factorial(nodes))
        assert_allclose(weights @ points[:, k] ** (2 * nodes), *exactly(desired, points[:, k] ** (2 * nodes)))


@given(scales)
def test_quadrature_draws_the_hyperparameters_independently(sigma):
    points, weights = quadrature(sigma, 4)
    covariance = np.einsum("k,ki,kj->ij", weights, points, points)
    assert_allclose(covariance, *exactly(np.diag(sigma**2), points**2))
    fourth = np.einsum("k,ki,kj->ij", weights, points**2, points**2)
    desired = np.outer(sigma**2, sigma**2) * (1 + 2 * np.eye(len(sigma)))
    assert_allclose(fourth, *exactly(desired, points**4))


@given(small, st.floats(-3.0, 3.0))
def test_quadrature_has_the_lognormal_moments(sigma, lam):
    a = np.exp(lam + sigma**2 / 2)
    for power, desired in ((0, a), (1, sigma**2 * a), (2, (sigma**2 + sigma**4) * a)):
        actual = expectation(lambda eps, power=power: eps[0] ** power * np.exp(lam + eps[0]), np.array([sigma]))
        assert_allclose(actual, desired, rtol=LOGNORMAL, atol=LOGNORMAL * a)


@given(scales, st.integers(1, 4))
def test_an_expectation_is_the_weighted_sum_over_the_points(sigma, nodes):
    points, weights = quadrature(sigma, nodes)
    desired = sum(weight * np.outer(eps, eps + 1) for eps, weight in zip(points, weights, strict=True))
    actual = expectation(lambda eps: np.outer(eps, eps + 1), sigma, nodes)
    assert_allclose(actual, *exactly(desired, points**2))
