"""Networks: jvp, vjp and curvature against differences of f, and against one another."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial.polynomial import polyfit
from numpy.testing import assert_allclose, assert_array_equal

from reference.bilevel.networks import Identity, Network
from reference.problems.linear_network import Product
from tests.strategies import differences, exactly, generators, leads, normal, sizes


@st.composite
def networks(draw: st.DrawFn) -> tuple[Network, int, int]:
    """A network, its number of weights and of outputs."""
    width = draw(sizes)
    if draw(st.booleans()):
        return Identity(), width, width
    depth = draw(st.integers(1, 3))
    return Product(depth, width), depth * width**2 + width, width


@given(networks(), generators(), leads)
def test_jvp_and_jacobian_are_slopes_of_the_network(network, rng, lead):
    f, m, _ = network
    w, dw = normal(rng, *lead, m), normal(rng, *lead, m)
    along = differences(lambda t: f(w + t * dw), np.zeros(1))
    assert_allclose(f.jvp(w, dw)[..., None], *along)
    desired = differences(f, w)
    assert_allclose(np.broadcast_to(f.jacobian(w), desired.value.shape), *desired)


@given(networks(), generators(), leads)
def test_jvp_and_vjp_are_adjoint(network, rng, lead):
    f, m, k = network
    w, dw, g = normal(rng, *lead, m), normal(rng, *lead, m), normal(rng, *lead, k)
    forward, backward = np.sum(g * f.jvp(w, dw), axis=-1), np.sum(f.vjp(w, g) * dw, axis=-1)
    assert_allclose(forward, *exactly(backward, np.abs(f.vjp(w, g)) * np.abs(dw)))


@given(networks(), generators(), leads, st.booleans())
def test_a_hessian_in_the_outputs_is_pulled_back_by_products_with_the_jacobian(network, rng, lead, shared):
    f, m, k = network
    w, H = normal(rng, *lead, m), normal(rng, *(() if shared else lead), k, k)
    J, actual = np.broadcast_to(f.jacobian(w), (*lead, k, m)), f.pull_back(w, H)
    terms = np.abs(J).mT @ np.abs(H) @ np.abs(J)
    assert actual.shape == (*lead, m, m)
    assert_allclose(actual, *exactly(np.einsum("...ki,...kl,...lj->...ij", J, H, J), terms))


@given(networks(), generators(), leads)
def test_curvature_is_the_slope_of_vjp_and_symmetric(network, rng, lead):
    f, m, k = network
    w, g = normal(rng, *lead, m), normal(rng, *lead, k)
    curvature = f.curvature(w, g)
    assert_allclose(curvature, *differences(lambda w: f.vjp(w, g), w))
    assert_allclose(curvature, *exactly(np.swapaxes(curvature, -1, -2)))


@given(generators(), st.integers(1, 3), sizes)
def test_eqn_3_11_leaves_a_residual_of_second_order(rng, depth, width):
    f, m = Product(depth, width), depth * width**2 + width
    w, dw, g = normal(rng, m), normal(rng, m), normal(rng, width)
    nodes = np.linspace(-1.0, 1.0, depth + 2)  # through as many the polynomial t -> f(w + t Δw) is found exactly
    values = np.array([f(w + t * dw) for t in nodes])
    at_w, slope, half_curvature, *_ = polyfit(nodes, values, depth + 1)
    assert_allclose(at_w, *exactly(f(w), values))
    assert_allclose(slope, *exactly(f.jvp(w, dw), values))
    assert_allclose(g @ half_curvature, *exactly(dw @ f.curvature(w, g) @ dw / 2, np.abs(g).sum() * values))


@given(generators(), leads, sizes)
def test_a_linear_model_is_its_weights(rng, lead, m):
    f, w, g = Identity(), normal(rng, *lead, m), normal(rng, *lead, m)
    for same, given_array in ((f(w), w), (f.jvp(w, g), g), (f.vjp(w, g), g)):
        assert_array_equal(same, given_array)
    assert_array_equal(f.jacobian(w) @ g[..., None], g[..., None])
    assert_array_equal(f.curvature(w, g), np.zeros((*lead, m, m)))
