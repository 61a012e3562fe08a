"""Θ's largest step: where its mean square stops falling, and a plain simulation of many rates and examples."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reference.beyond.theory.step_bound import growth, largest_step, safe_step, second_moment_step


@given(st.floats(0.1, 10.0), st.integers(2, 30), st.integers(1, 200))
def test_the_growth_is_below_one_exactly_below_the_largest_step(a, h, n):
    step = largest_step(a, h, n)
    assert growth(0.999 * step * a, h, n) < 1 < growth(1.001 * step * a, h, n)
    assert_allclose(growth(step * a, h, n), 1, rtol=1e-12)
    assert step < 2 / a  # w0's
    assert_allclose(largest_step(a, h, 1), 2 / ((h + 2) * a), rtol=1e-12)


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
