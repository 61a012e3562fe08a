"""Θ's second moment in closed form against sums over every sign of ε, quadrature and plain simulation."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reference.beyond.theory.step_bound import growth, largest_step, safe_step, second_moment_step
from reference.rule.perturbation import quadrature
from tests.strategies import generators, spectra, symmetric


@st.composite
def curvatures(draw: st.DrawFn, shared: bool = False):
    """n ≥ 2 matrices A_i of m ≥ 2 weights, and E with h = 2 columns."""
    rng, n, m = draw(generators()), draw(st.integers(2, 3)), draw(st.integers(2, 3))
    matrices = np.array([symmetric(rng, (), draw(spectra(m))) for _ in range(n)])
    return (np.broadcast_to(matrices[0], matrices.shape) if shared else matrices), rng.normal(size=(m, 2))


def enumerated(matrices: np.ndarray, E: np.ndarray, alpha: float) -> np.ndarray:
    """E[EEᵀ] after E ← E - (α/n) Σ_i A_i E z_i z_iᵀ, a plain sum over three nodes for each entry of each z_i."""
    points, weights = quadrature(np.ones(2), nodes=3)
    total = np.zeros((len(E), len(E)))
    for draws in product(range(len(points)), repeat=len(matrices)):
        after = E.copy()
        for A, k in zip(matrices, draws, strict=True):
            after -= alpha / len(matrices) * A @ E @ np.outer(points[k], points[k])
        total += np.prod(weights[list(draws)]) * after @ after.T
    return total


@given(curvatures(), st.floats(0.01, 1.0))
def test_the_second_moment_after_a_step(drawn, alpha):
    matrices, E = drawn
    desired = enumerated(matrices, E, alpha)
    actual = second_moment_step(E @ E.T, matrices, alpha, h=2)
    terms = np.abs(E @ E.T).max() * (1 + alpha * np.abs(matrices).max()) ** 2
    assert_allclose(actual, desired, rtol=1e-10, atol=1e-10 * terms)


@given(curvatures(shared=True), st.floats(0.01, 1.0))
def test_along_an_eigenvector_of_a_shared_curvature_it_is_the_growth(drawn, alpha):
    matrices, E = drawn
    a, Q = np.linalg.eigh(matrices[0])
    after = enumerated(matrices, E, alpha)
    for curvature, q in zip(a, Q.T, strict=True):
        desired = growth(alpha * curvature, 2, len(matrices)) * np.sum((q @ E) ** 2)
        assert_allclose(q @ after @ q, desired, rtol=1e-9, atol=1e-10 * np.abs(after).max())


@given(st.floats(0.1, 10.0), st.integers(2, 30), st.integers(1, 200))
def test_the_growth_is_below_one_exactly_below_the_largest_step(a, h, n):
    step = largest_step(a, h, n)
    assert growth(0.999 * step * a, h, n) < 1 < growth(1.001 * step * a, h, n)
    assert_allclose(growth(step * a, h, n), 1, rtol=1e-12)
    assert step < 2 / a  # w0's
    assert_allclose(largest_step(a, h, 1), 2 / ((h + 2) * a), rtol=1e-12)


@given(curvatures())
def test_below_the_safe_step_the_mean_square_falls_for_any_error(drawn):
    matrices, E = drawn
    alpha = safe_step(matrices, h=2)
    for share in (0.1, 0.99):
        assert np.trace(enumerated(matrices, E, share * alpha)) < np.sum(E**2)


def test_rows_of_many_inputs_need_more_of_them_than_a_shared_curvature_does():
    rows = np.random.default_rng(0).choice([-1.0, 1.0], size=(64, 16))
    matrices = rows[:, :, None] * rows[:, None, :]  # squared loss, ‖x_i‖² = 16, A about I
    a, h = np.linalg.eigvalsh(matrices.mean(axis=0))[-1], 3
    S = np.eye(16)
    between = np.sqrt(safe_step(matrices, h) * largest_step(a, h, 64))
    for _ in range(200):
        S = second_moment_step(S, matrices, largest_step(a, h, 64), h)
    assert np.trace(S) > 16
    assert safe_step(matrices, h) < between < largest_step(a, h, 64)


def test_a_simulation_has_the_mean_square_of_26_rates_and_128_examples():
    h, n, runs, step = 26, 128, 20_000, 0.28
    rng = np.random.default_rng(0)
    e = np.ones(h) / np.sqrt(h)
    means = np.empty(runs)
    for k in range(runs):
        z = rng.standard_normal((n, h))
        means[k] = np.sum((e - step / n * (z @ e) @ z) ** 2)
    standard_error = means.std() / np.sqrt(runs)
    assert abs(means.mean() - growth(step, h, n)) < 6 * standard_error
    assert standard_error < 1e-3
