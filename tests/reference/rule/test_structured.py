"""Eqn. 3.14 against loops over units and inputs, and as a special case of Eqn. 3.1."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.rule.hypernet import FullResponse
from reference.rule.structured import (
    LayeredResponse,
)
from tests.strategies import (
    dense,
    exactly,
    few,
    full_response,
    generators,
    leads,
    normal,
    parameters,
    sizes,
    structured_response,
)


@given(generators(), leads, sizes, sizes, few)
def test_eqn_3_14_scales_each_units_row_and_bias(rng, lead, o, i, h):
    layer, c = structured_response(rng, lead, o, i, h), normal(rng, *lead, h)
    W, b = layer.split(layer.apply(c))
    for index in np.ndindex(lead):
        for unit in range(o):
            scale_W = sum(layer.U[index][unit, k] * c[index][k] for k in range(h))
            scale_b = sum(layer.V[index][unit, k] * c[index][k] for k in range(h))
            assert_allclose(W[index][unit], *exactly(scale_W * layer.W_response[index][unit], layer.U))
            assert_allclose(b[index][unit], *exactly(scale_b * layer.b_response[index][unit], layer.V))


@given(generators(), leads, sizes, sizes, few)
def test_theta_is_the_response_to_each_hyperparameter(rng, lead, o, i, h):
    layer, c = structured_response(rng, lead, o, i, h), normal(rng, *lead, h)
    assert layer.Theta.shape == (*lead, o * i + o, h)
    assert_allclose(layer.Theta, *exactly(dense(layer)))
    assert_allclose(FullResponse(layer.Theta).apply(c), *exactly(layer.apply(c), layer.Theta))


@given(generators(), leads, sizes, sizes)
def test_flat_undoes_split_row_after_row(rng, lead, o, i):
    layer, w = structured_response(rng, lead, o, i, 1), normal(rng, *lead, o * i + o)
    W, b = layer.split(w)
    assert_array_equal(layer.flat(W, b), w)
    for unit, j in product(range(o), range(i)):
        assert_array_equal(W[..., unit, j], w[..., unit * i + j])
    assert_array_equal(b, w[..., o * i :])


@given(generators(), leads, st.lists(st.tuples(sizes, sizes), min_size=1, max_size=4), few)
def test_layers_follow_one_another(rng, lead, shapes, h):
    layers = [*(structured_response(rng, lead, o, i, h) for o, i in shapes), full_response(rng, lead, 2, h)]
    widths = [o * i + o for o, i in shapes] + [2]
    network = LayeredResponse(tuple(layers), tuple(widths))
    c, g = normal(rng, *lead, h), normal(rng, *lead, sum(widths))
    stacked = np.concatenate([dense(layer) for layer in layers], axis=-2)
    assert_allclose(network.apply(c), *exactly((stacked @ c[..., None])[..., 0], stacked))
    assert_allclose(network.adjoint(g), *exactly((stacked.mT @ g[..., None])[..., 0], stacked))
    start, gradient = 0, network.gradient(c, g)
    for k, (layer, width) in enumerate(zip(layers, widths, strict=True)):
        alone = layer.gradient(c, g[..., start : start + width])
        for actual, desired in zip(parameters(gradient.layers[k]), parameters(alone), strict=True):
            assert_array_equal(actual, desired)
        start += width
