"""Exact answers against fifty digits: eight of them hold, or the answer is refused.

The other route: the normal equations, formed and solved by mpmath with 90 digits (conditions reach 1e37).
"""

from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from reference.beyond.problems.grouped import GroupedPenalties, GroupedRates
from reference.beyond.problems.logistic import Logistic
from reference.problems.dropout import InputDropout
from reference.problems.linear_network import LinearNetwork
from reference.problems.quadratic import Quadratic, QuadraticProblem
from reference.problems.ridge import Ridge
from tests.strategies import generators

pytestmark = pytest.mark.usefixtures("no_types_checked")

EIGHT = 1e-8
LAMBDAS = (-15.0, -8.0, 0.0, 8.0, 15.0)
SHAPES = ("wide", "square", "duplicated", "nearly dependent", "tall")

shapes = st.sampled_from(SHAPES)
scales = st.sampled_from([1e-6, 1e-3, 1.0, 30.0, 1e3, 1e5, 1e6])
lambdas = st.sampled_from(LAMBDAS)
kinds = st.sampled_from(["ridge", "undivided", "ridge in a metric", "dropout", "dropout as printed", "linear network"])


def data(rng: np.random.Generator, shape: str, scale: float) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """X, t, X_valid, t_valid, the features times `scale`."""
    n, m = {"wide": (6, 10), "square": (6, 6)}.get(shape, (12, 5))
    X = rng.normal(size=(n, m))
    if shape in ("duplicated", "nearly dependent"):
        X[:, -1] = X[:, -2] + (1e-9 * rng.normal(size=n) if shape == "nearly dependent" else 0.0)
    return scale * X, rng.normal(size=n), scale * rng.normal(size=(7, m)), rng.normal(size=7)


def problem_of(kind: str, arrays: tuple[ndarray, ...]) -> Ridge | InputDropout:
    """One of the problems with one hyperparameter."""
    n = float(len(arrays[1]))
    if kind.startswith("dropout"):
        return InputDropout(*arrays, inverted=kind == "dropout")
    if kind == "linear network":
        return LinearNetwork(*arrays, divisor=n, depth=2)
    metric = np.geomspace(1e-3, 1e3, arrays[0].shape[1]) if kind == "ridge in a metric" else 1.0
    return Ridge(*arrays, divisor=1.0 if kind == "undivided" else n, metric=metric)


def exactly(values: ndarray) -> Any:
    """A matrix of mpmath's, of the very same numbers; of a vector, a column."""
    return mp.matrix([[mp.mpf(float(x)) for x in np.atleast_1d(row)] for row in values])


@dataclass(frozen=True)
class Answer:
    """v*(λ), dv*/dλ (columns), hypergradient and outer loss."""

    v: Any
    J: list[Any]
    slope: list[Any]
    loss: Any


def answer(problem: Any, lam: list[Any]) -> Answer:
    """Of a linear regression whose normal equations are (a²A + W) v = aXᵀt."""
    X, t, X_valid, t_valid = map(exactly, (problem.X, problem.t, problem.X_valid, problem.t_valid))
    n, m = problem.X.shape
    A, b = X.T * X, X.T * t
    D = [A[j, j] for j in range(m)]
    group = getattr(problem, "group", (0,) * m)
    a, da = mp.mpf(1), mp.mpf(0)
    if isinstance(problem, InputDropout) and not problem.inverted:
        p = 1 / (1 + mp.exp(-lam[0]))
        a, da = 1 - p, -p * (1 - p)
        weights, slopes = [p * (1 - p) * d for d in D], [[p * (1 - p) * (1 - 2 * p) * d for d in D]]
    else:
        in_metric = problem.D if isinstance(problem, Ridge) else np.ones(m)
        undropped = [mp.mpf(n) / getattr(problem, "divisor", 1.0) * d for d in in_metric]
        metric = D if isinstance(problem, InputDropout | GroupedRates) else undropped
        weights = [mp.exp(lam[group[j]]) * metric[j] for j in range(m)]
        slopes = [[weights[j] * (group[j] == i) for j in range(m)] for i in range(len(lam))]
    K = a**2 * A + mp.diag(weights)
    v = mp.lu_solve(K, a * b)
    J = [mp.lu_solve(K, da * b - (2 * a * da * A + mp.diag(slope)) * v) for slope in slopes]
    residual = X_valid * v - t_valid
    gradient = X_valid.T * residual / len(residual)
    return Answer(v, J, [(gradient.T * column)[0] for column in J], (residual.T * residual)[0] / (2 * len(residual)))


def off(actual: ndarray, desired: Any) -> float:
    """Relative error of a vector, in its norm."""
    column = exactly(actual)
    return float(mp.norm(column - desired) / mp.norm(desired))


@pytest.fixture(autouse=True)
def fifty_digits():
    """And forty more, which an ill-conditioned matrix may cost."""
    with mp.workdps(90):
        yield


@settings(max_examples=60)
@given(generators(), shapes, scales, lambdas, kinds)
def test_best_response_jacobian_and_hypergradient_have_eight_digits(rng, shape, scale, lam, kind):
    problem = problem_of(kind, data(rng, shape, scale))
    exact, point = answer(problem, [mp.mpf(lam)]), np.array([lam])
    assert off(problem.best_output(point), exact.v) < EIGHT
    assert off(problem.best_output_jacobian(point), exact.J[0]) < EIGHT
    assert off(problem.hypergradient(point), mp.matrix(exact.slope)) < EIGHT
    assert off(np.array([problem.outer_loss(point)]), mp.matrix([exact.loss])) < EIGHT


@settings(max_examples=40)
@given(generators(), shapes, scales, st.lists(lambdas, min_size=3, max_size=3), st.booleans())
def test_many_penalties_and_rates_have_eight_digits(rng, shape, scale, lam, rates):
    arrays = data(rng, shape, scale)
    group = tuple(j % 3 for j in range(arrays[0].shape[1]))
    problem = GroupedRates(*arrays, group=group) if rates else GroupedPenalties(*arrays, group=group, divisor=1.0)
    exact, point = answer(problem, list(map(mp.mpf, lam))), np.array(lam)
    J = problem.best_response_jacobian(point)
    assert off(problem.best_response(point), exact.v) < EIGHT
    assert max(off(J[:, i], exact.J[i]) for i in range(3)) < EIGHT
    # A sum over features may cancel: eight digits of its terms.
    gradient, hypergradient = problem.valid_grad_w(point, problem.best_response(point)), problem.hypergradient(point)
    for i in range(3):
        assert abs(hypergradient[i] - exact.slope[i]) < EIGHT * np.linalg.norm(gradient) * np.linalg.norm(J[:, i])


@pytest.mark.parametrize("kind", ["ridge", "dropout", "dropout as printed"])
@pytest.mark.parametrize(("shape", "scale"), [("wide", 1e3), ("wide", 1e5), ("tall", 1.0), ("nearly dependent", 1e3)])
def test_the_optimum_has_eight_digits_of_place_and_loss(kind, shape, scale):
    problem = problem_of(kind, data(np.random.default_rng(7), shape, scale))
    optimum, curve = problem.optimum(), partial(answer, problem)
    grid = np.linspace(-15.0, 15.0, 61)
    slopes = [curve([mp.mpf(lam)]).slope[0] for lam in grid]
    minima = [(curve([mp.mpf(-15)]).loss, mp.mpf(-15), "lower end")] if slopes[0] > 0 else []
    minima += [(curve([mp.mpf(15)]).loss, mp.mpf(15), "upper end")] if slopes[-1] < 0 else []
    for k in range(60):
        if slopes[k] < 0 < slopes[k + 1]:
            root = mp.findroot(lambda lam: curve([lam]).slope[0], (grid[k], grid[k + 1]), solver="anderson", tol=1e-60)
            minima.append((curve([root]).loss, root, "interior"))
    loss, place, where = min(minima)
    assert optimum.where == where
    assert abs(optimum.lam_star[0] - place) < EIGHT
    assert abs(float(optimum.loss_star) - loss) < EIGHT * loss


def test_features_in_single_precision_are_answered_in_double():
    rng = np.random.default_rng(0)
    single = tuple(part.astype(np.float32) for part in data(rng, "wide", 1.0))
    problem = Ridge(*single, divisor=6.0)
    assert off(problem.best_response(np.array([-15.0])), answer(problem, [mp.mpf(-15)]).v) < EIGHT


@settings(max_examples=15)
@given(generators(), st.floats(0.0, 14.0))
def test_a_quadratic_has_eight_digits_whatever_its_condition(rng, condition):
    m, h = 4, 2
    A = rng.normal(size=(m, m)) * 10.0 ** np.linspace(0, -condition / 2, m)
    A, B, d, lam = A.T @ A, rng.normal(size=(m, h)), rng.normal(size=m), rng.normal(size=h)
    A = (A + A.T) / 2
    train = Quadratic(A, B, np.eye(h), d, np.zeros(h), np.float64(0))
    problem = QuadraticProblem(train, train)
    r = -mp.lu_solve(exactly(A), exactly(B) * exactly(lam) + exactly(d))
    J = -mp.lu_solve(exactly(A), exactly(B[:, :1]))
    assert off(problem.best_response(lam), r) < EIGHT
    assert off(problem.best_response_jacobian(lam)[:, 0], J) < EIGHT


# Softmax regression.


def softmax_answer(problem: Logistic, lam: ndarray, start: ndarray) -> tuple[Any, Any]:
    """r(λ) and the Jacobian, by Newton's method with sums over rows and classes written out."""
    (n, p), c = problem.X.shape, problem.classes
    x, log = [[mp.mpf(float(u)) for u in row] for row in problem.X], [mp.mpf(float(u)) for u in lam]
    decay = mp.exp(log[0]) / mp.mpf(problem.divisor)
    smooth = 1 / (1 + mp.exp(-log[1])) if problem.h > 1 else mp.mpf(0)
    weight = [mp.exp(u) for u in log[2:]] if problem.h > 2 else [mp.mpf(1)] * c
    T = [[mp.mpf(int(label == k)) for k in range(c)] for label in problem.t]
    Q = [[weight[problem.t[i]] * ((1 - smooth) * T[i][k] + smooth / c) for k in range(c)] for i in range(n)]

    def chances(W: Any) -> list[list[Any]]:
        rows = []
        for row in x:
            e = [mp.exp(sum(W[k * p + j] * row[j] for j in range(p))) for k in range(c)]
            rows.append([u / sum(e) for u in e])
        return rows

    def data_gradient(P: list[list[Any]], targets: list[list[Any]]) -> Any:
        g = mp.matrix(c * p, 1)
        for i in range(n):
            for k in range(c):
                for j in range(p):
                    g[k * p + j] += (sum(targets[i]) * P[i][k] - targets[i][k]) * x[i][j] / n
        return g

    def hessian(P: list[list[Any]]) -> Any:
        H = decay * mp.eye(c * p)
        for i in range(n):
            for k in range(c):
                for q in range(c):
                    share = sum(Q[i]) * P[i][k] * ((k == q) - P[i][q]) / n
                    for j in range(p):
                        for u in range(p):
                            H[k * p + j, q * p + u] += share * x[i][j] * x[i][u]
        return H

    W = exactly(start)
    for _ in range(40):
        P = chances(W)
        step = mp.lu_solve(hessian(P), data_gradient(P, Q) + decay * W)
        W -= step
        if mp.norm(step) < mp.mpf(10) ** -60 * (1 + mp.norm(W)):
            break
    slopes = []
    if problem.h > 1:
        bend = smooth * (1 - smooth)
        slopes.append([[weight[problem.t[i]] * bend * (mp.mpf(1) / c - T[i][k]) for k in range(c)] for i in range(n)])
    if problem.h > 2:
        slopes += [[[Q[i][k] * T[i][q] for k in range(c)] for i in range(n)] for q in range(c)]
    P = chances(W)
    right = [decay * W, *(data_gradient(P, slope) for slope in slopes)]
    return W, [-mp.lu_solve(hessian(P), b) for b in right]


@pytest.mark.parametrize("first", [-10.0, 0.0, 10.0])
@pytest.mark.parametrize("others", [-10.0, 0.0, 10.0])
@pytest.mark.parametrize("separable", [False, True])
def test_softmax_regression_has_eight_digits_or_is_refused(first, others, separable):
    rng = np.random.default_rng(3)
    X, t = rng.normal(size=(8, 2)), rng.integers(0, 2, 8)
    if separable:
        X[:, 0] += 6 * t - 3
    for h in (1, 2, 4):
        problem = Logistic(X, t, X, t, classes=2, divisor=8.0, h=h)
        lam = np.array([first] + [others] * (h - 1))
        r = problem.best_response(lam)
        exact_r, exact_J = softmax_answer(problem, lam, r)
        assert off(r, exact_r) < EIGHT
        with suppress(ValueError) if h == 4 else nullcontext():  # class weights up to e^20 times the decay
            J = problem.best_response_jacobian(lam)
            assert max(off(J[:, i], exact_J[i]) for i in range(h)) < EIGHT
