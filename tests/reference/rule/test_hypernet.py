"""Eqns. 2.6, 3.1 and 3.5: one linear map in two forms, its gradients, and how well conditioned each form is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reference.rule.hypernet import homogeneous, second_moment, uncentred_weights
from tests.strategies import (
    chain_rule,
    dense,
    differences,
    exactly,
    few,
    generators,
    leads,
    normal,
    parameters,
    responses,
    sizes,
    with_parameters,
)


@st.composite
def linear_maps(draw: st.DrawFn):
    """A response of any kind, an input c, an outer gradient g, and the generator."""
    rng, lead, m, h = draw(generators()), draw(leads), draw(st.integers(1, 8)), draw(few)
    return draw(responses(rng, lead, m, h)), normal(rng, *lead, h), normal(rng, *lead, m), rng


@given(linear_maps())
def test_a_response_is_the_matrix_theta(drawn):
    response, c, g, _ = drawn
    Theta = dense(response)
    for index in np.ndindex(c.shape[:-1]):
        change = [sum(Theta[index][i, k] * c[index][k] for k in range(c.shape[-1])) for i in range(g.shape[-1])]
        pulled = [sum(Theta[index][i, k] * g[index][i] for i in range(g.shape[-1])) for k in range(c.shape[-1])]
        assert_allclose(response.apply(c)[index], *exactly(np.array(change), Theta))
        assert_allclose(response.adjoint(g)[index], *exactly(np.array(pulled), Theta))


@given(linear_maps())
def test_apply_and_adjoint_are_adjoint(drawn):
    response, c, g, _ = drawn
    forward, backward = np.sum(g * response.apply(c), axis=-1), np.sum(response.adjoint(g) * c, axis=-1)
    assert_allclose(forward, *exactly(backward, g * response.apply(c)))


@given(linear_maps())
def test_the_gradient_is_the_slope_in_every_parameter(drawn):
    response, c, target, _ = drawn
    arrays, actual = parameters(response), parameters(response.gradient(c, np.cos(response.apply(c) + target)))
    assert len(actual) == len(arrays)
    for k, array in enumerate(arrays):
        for index in np.ndindex(array.shape[c.ndim - 1 :]):
            point = (..., *index)

            def loss(x, k=k, array=array, point=point):
                moved = array.copy()
                moved[point] = x[..., 0]
                changed = with_parameters(response, [*arrays[:k], moved, *arrays[k + 1 :]])
                return np.sum(np.sin(changed.apply(c) + target), axis=-1)

            assert_allclose(actual[k][point][..., None], *differences(loss, array[point][..., None]))


@given(linear_maps())
def test_the_gradient_is_that_of_theta_by_the_chain_rule(drawn):
    response, c, g, _ = drawn
    actual = parameters(response.gradient(c, g))
    for index in np.ndindex(c.shape[:-1]):
        alone = with_parameters(response, [array[index] for array in parameters(response)])
        desired = chain_rule(alone, np.outer(g[index], c[index]))
        for array, item in zip(actual, desired, strict=True):
            assert_allclose(array[index], *exactly(item, np.abs(dense(alone)).max()))


@given(linear_maps(), st.floats(0.01, 1.0))
def test_a_step_moves_every_parameter_against_its_gradient(drawn, alpha):
    response, c, g, _ = drawn
    gradient = response.gradient(c, g)
    moved = response.minus(alpha, gradient)
    assert type(moved) is type(response)
    for after, before, slope in zip(*(parameters(r) for r in (moved, response, gradient)), strict=True):
        assert_allclose(after, *exactly(before - alpha * slope, before))


@given(generators(), leads, sizes, few)
def test_eqn_2_6_is_one_matrix_of_the_homogeneous_lam(rng, lead, m, h):
    Phi, phi0, lam = (normal(rng, *lead, *shape) for shape in ((m, h), (m,), (h,)))
    together = np.concatenate([Phi, phi0[..., None]], axis=-1) @ homogeneous(lam)[..., None]
    assert_allclose(together[..., 0], *exactly(uncentred_weights(Phi, phi0, lam), Phi, phi0))


@given(generators(), leads, few)
def test_eqn_3_5_has_replicates(rng, lead, h):
    lam, sigma = normal(rng, *lead, h), rng.uniform(0.1, 2.0, size=(*lead, h))
    for index in np.ndindex(lead):
        assert_allclose(second_moment(lam, sigma)[index], *exactly(second_moment(lam[index], sigma[index])))
