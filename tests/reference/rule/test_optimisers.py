"""Gradient descent and RMSProp against their definitions, a loop over steps and entries, and torch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.rule.optimisers import RmsProp, Sgd
from tests.strategies import EXACT, exactly, generators, leads, normal

alphas = st.floats(1e-3, 1.0)
rhos = st.floats(0.0, 0.999)


@given(generators(), leads, alphas)
def test_gradient_descent_moves_against_the_gradient_and_remembers_nothing(rng, lead, alpha):
    x, g, memory = (normal(rng, *lead, 3) for _ in range(3))
    moved, remembered = Sgd(alpha).step(x, g, memory)
    assert_allclose(moved + alpha * g, *exactly(x, g))
    assert_array_equal(remembered, memory)


@given(generators(), leads, alphas, rhos, st.sampled_from([1e-8, 1e-3, 1.0]), st.integers(1, 6))
def test_rmsprop_divides_by_the_root_of_the_running_mean_of_squares(rng, lead, alpha, rho, delta, steps):
    start, gradients = normal(rng, *lead, 2), [normal(rng, *lead, 2) for _ in range(steps)]
    optimiser, x, memory = RmsProp(alpha, rho, delta), start, np.zeros_like(start)
    for g in gradients:
        x, memory = optimiser.step(x, g, memory)
    for index in np.ndindex(start.shape):
        place, mean = float(start[index]), 0.0
        for k, g in enumerate(gradients):
            # s_k = (1 - ρ) Σ_{i≤k} ρ^{k-i} g_i², the running mean written out.
            mean = (1 - rho) * sum(rho ** (k - i) * gradients[i][index] ** 2 for i in range(k + 1))
            place -= alpha * g[index] / (mean**0.5 + delta)
        assert_allclose(x[index], *exactly(place, start, alpha * steps))
        assert_allclose(memory[index], *exactly(mean))


@given(generators(), alphas, rhos, st.floats(1e-3, 1e3))
def test_the_size_of_the_gradient_does_not_matter(rng, alpha, rho, size):
    x, g, memory = normal(rng, 3), 1.0 + rng.uniform(size=3), np.zeros(3)
    optimiser = RmsProp(alpha, rho, delta=0.0)
    assert_allclose(optimiser.step(x, size * g, memory)[0], *exactly(optimiser.step(x, g, memory)[0], x, alpha))


def test_the_defaults_are_those_of_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(2, 3)), rng.normal(size=(20, 2, 3))
    parameter = torch.nn.Parameter(torch.tensor(start))
    theirs, ours = torch.optim.RMSprop([parameter], lr=0.02), RmsProp(0.02)
    x, memory = start, np.zeros_like(start)
    for g in gradients:
        parameter.grad = torch.tensor(g)
        theirs.step()
        x, memory = ours.step(x, g, memory)
        assert_allclose(x, parameter.detach().numpy(), rtol=EXACT)
