"""(XᵀX + p D) x = b: the bound covers the error, and both ways to the answer agree."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.numerics import normal_equations
from reference.numerics.elimination import LARGEST_CONDITION, Gram, decimals, hundred_digits, solve, to_eight_digits
from reference.numerics.normal_equations import TOLERANCE, NormalEquations
from tests.strategies import generators, matrix, normal, spectra

powers = st.floats(-6.0, 6.0)


def slope(equations, p):
    """The derivative of `fit` in p."""
    return equations.combination(p, np.zeros_like(p), -np.ones_like(p))


def rational(K, B):
    """K⁻¹B by Gauss and Jordan on fractions: no rounding at all."""
    rows = [[Fraction(float(x)) for x in (*k, *b)] for k, b in zip(K, B, strict=True)]
    for j in range(len(rows)):
        pivot = next(i for i in range(j, len(rows)) if rows[i][j] != 0)
        rows[j], rows[pivot] = rows[pivot], rows[j]
        rows[j] = [x / rows[j][j] for x in rows[j]]
        for i in range(len(rows)):
            if i != j:
                rows[i] = [x - rows[i][j] * y for x, y in zip(rows[i], rows[j], strict=True)]
    return np.array([[float(x) for x in row[len(rows) :]] for row in rows])


def definite(rng, m, power):
    """A symmetric matrix with eigenvalues down to 10^-power."""
    Q = np.linalg.qr(rng.normal(size=(m, m)))[0]
    half = (Q * 10.0 ** -np.linspace(0, power, m)) @ Q.T / 2
    return half + half.T


@given(generators(), st.integers(1, 4), st.floats(0.0, 13.0))
def test_elimination_is_exact(rng, m, power):
    K, B = definite(rng, m, power), rng.normal(size=(m, 2))
    with hundred_digits():
        answer = solve(decimals(K), decimals(B)).astype(float)
    assert_array_equal(answer, rational(K, B))


@pytest.mark.parametrize("K", [np.zeros((2, 2)), np.ones((2, 2)), -np.eye(2), np.array([[1.0, 2.0], [2.0, 1.0]])])
def test_what_is_not_positive_definite_is_refused(K):
    with hundred_digits(), pytest.raises(ValueError, match="not positive definite"):
        solve(decimals(K), decimals(np.ones((2, 1))))


@given(generators(), st.integers(2, 4), st.floats(0.0, 13.0))
def test_an_exact_matrix_is_answered_to_eight_digits_whatever_its_condition(rng, m, power):
    K, B = definite(rng, m, power), rng.normal(size=(m, 2))
    answer, exact = to_eight_digits(K, B), rational(K, B)
    assert np.linalg.norm(answer - exact, axis=0).max() <= 1e-9 * np.linalg.norm(exact, axis=0).min()


def test_only_ill_conditioned_matrices_are_solved_in_decimals(monkeypatch):
    calls = []
    monkeypatch.setattr("reference.numerics.elimination.solve", lambda K, B: calls.append(1) or B)
    B = np.ones((2, 2, 1))
    to_eight_digits(np.stack([np.eye(2), np.diag([1.0, 0.99 / LARGEST_CONDITION])]), B)
    assert len(calls) == 1


@settings(max_examples=40)
@given(generators(), st.integers(1, 7), st.integers(1, 4), powers, powers, st.booleans())
def test_both_ways_to_an_answer_agree(rng, n, m, scale, penalty, metric):
    X, t = 10.0**scale * rng.normal(size=(n, m)), rng.normal(size=n)
    d = np.sum(X**2, axis=0) if metric else np.ones(m)
    p = np.array([10.0**penalty])
    equations, b = NormalEquations(Gram(X, t), d), rng.normal(size=(m, 2))
    groups = np.eye(m)
    fast = equations.fit(p), slope(equations, p), equations.solve(p, b), equations.slopes(p, groups)
    before, normal_equations.TOLERANCE = TOLERANCE, -1.0  # no answer is sure
    try:
        slow = equations.fit(p), slope(equations, p), equations.solve(p, b), equations.slopes(p, groups)
    finally:
        normal_equations.TOLERANCE = before
    for quick, exact in zip(fast, slow, strict=True):
        columns = quick.reshape(m, -1), exact.reshape(m, -1)
        gaps = np.linalg.norm(columns[0] - columns[1], axis=0)
        assert (gaps <= TOLERANCE * np.linalg.norm(columns[1], axis=0)).all()


@given(generators(), spectra(3), st.floats(-3.0, 3.0))
def test_replicates_and_penalties_broadcast(rng, spectrum, power):
    X, t = matrix(rng, (2,), 5, 3, spectrum), normal(rng, 2, 5)
    equations, p = NormalEquations(Gram(X, t), np.ones(3)), 10.0 ** (power + rng.normal(size=(4, 2, 1)))
    together = equations.fit(p), slope(equations, p), equations.solve(p, np.ones((3, 1)))
    for k, r in np.ndindex(4, 2):
        alone = NormalEquations(Gram(X[r], t[r]), np.ones(3))
        apart = alone.fit(p[k, r]), slope(alone, p[k, r]), alone.solve(p[k, r], np.ones((3, 1)))
        for all_of_them, single in zip(together, apart, strict=True):
            assert_allclose(all_of_them[k, r], single, rtol=1e-9, atol=1e-12 * np.abs(single).max())


def test_too_many_weights_for_decimals_are_refused():
    m = normal_equations.LARGEST + 1
    X = np.ones((2, m))  # rows that depend on one another
    with pytest.raises(ValueError, match="fewer than eight digits are sure"):
        NormalEquations(Gram(X, np.array([1.0, 2.0])), np.ones(m)).fit(np.array([1e-14]))


@pytest.mark.parametrize("penalty", [np.nan, np.inf, -np.inf])
def test_a_penalty_that_is_not_finite_is_refused(penalty):
    with pytest.raises(ValueError, match="not finite"):
        NormalEquations(Gram(np.eye(2), np.ones(2)), np.ones(2)).fit(np.array([penalty]))


@pytest.mark.parametrize("d", [[1.0, 0.0], [1.0, -1.0], [np.inf, 1.0], [np.nan, 1.0]])
def test_a_metric_that_is_not_positive_and_finite_is_refused(d):
    with pytest.raises(ValueError, match="not positive and finite"):
        NormalEquations(Gram(np.eye(2), np.ones(2)), np.array(d))
