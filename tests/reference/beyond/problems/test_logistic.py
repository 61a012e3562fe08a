"""Softmax regression with decay, smoothing and class weights: against scikit-learn, loops and one-dimensional roots."""

from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import root_scalar

from reference.beyond.control_variate.updates import inner_step
from reference.beyond.problems.logistic import Logistic
from reference.beyond.problems.multistart import adjoint
from reference.beyond.problems.newton import newton
from reference.beyond.problems.softmax import cross_entropy
from reference.rule.hypernet import FullResponse
from reference.rule.perturbation import quadrature
from reference.rule.updates import DELTA_STN, STN, State, learned_hypergradient
from tests.strategies import (
    Case,
    exactly,
    generators,
    logistics,
    no_type_checks,
    normal,
    scikit_learns_weights,
    slope,
    widths,
)

single = st.just(())


def targets(problem: Logistic, lam: np.ndarray) -> list[list[float]]:
    """Row i's targets times its class's weight, one by one."""
    c = problem.classes
    smooth = 1 / (1 + exp(-lam[1])) if problem.h > 1 else 0.0
    weight = [exp(lam[2 + k]) if problem.h > 2 else 1.0 for k in range(c)]
    return [[weight[t] * ((1 - smooth) * (k == t) + smooth / c) for k in range(c)] for t in problem.t]


def decay(problem: Logistic, lam: np.ndarray) -> float:
    """What n L_T multiplies ½‖w‖² with."""
    return exp(lam[0]) * (1 if problem.divisor == problem.n else problem.n)


def cross_entropy_of_a_row(x: np.ndarray, target: list[float], W: np.ndarray) -> float:
    """-Σ_k q_k log p_k."""
    scores = [exp(sum(w_j * x_j for w_j, x_j in zip(row, x, strict=True))) for row in W]
    return -sum(q * log(score / sum(scores)) for q, score in zip(target, scores, strict=True))


@given(logistics())
def test_the_loss_is_a_sum_over_rows_and_one_over_weights(case: Case[Logistic]):
    train, valid = (np.asarray(loss(case.lam, case.w)) for loss in (case.problem.train_loss, case.problem.valid_loss))
    for index, problem, lam, w in case.replicates():
        W = w.reshape(problem.classes, -1)
        pairs = zip(problem.X, targets(problem, lam), strict=True)
        data = sum(cross_entropy_of_a_row(x, target, W) for x, target in pairs)
        assert_allclose(train[index], *exactly((data + decay(problem, lam) * sum(w**2) / 2) / len(problem.t)))
        plain = [[float(k == t) for k in range(problem.classes)] for t in problem.t_valid]
        rows = [cross_entropy_of_a_row(x, target, W) for x, target in zip(problem.X_valid, plain, strict=True)]
        assert_allclose(valid[index], *exactly(sum(rows) / len(rows)))


@settings(max_examples=15)
@given(logistics())
def test_the_best_response_is_scikit_learns(case: Case[Logistic]):
    # Every row once for each class, weighted by its target: that is smoothing and class weights at once.
    actual = case.problem.best_response(case.lam)
    for index, problem, lam, _ in case.replicates():
        c, Q = problem.classes, np.array(targets(problem, lam))
        weights = np.maximum(Q, 1e-300)  # scikit-learn wants every class seen
        X, t = np.repeat(problem.X, c, axis=0), np.tile(np.arange(c), len(Q))
        W = scikit_learns_weights(X, t, decay(problem, lam), weights.ravel())
        assert_allclose(actual[index], W.ravel(), rtol=1e-6, atol=1e-6 * np.abs(W).max())


@given(generators(), st.integers(1, 5), st.integers(1, 5), st.floats(-8, 3), st.floats(-3, 3), st.floats(-2, 2))
def test_counts_of_two_classes_have_the_root_of_one_equation(rng, a, b, decay, smoothing, log_weight):
    # One input, 1: with z = w_1 - w_2 and w_1 = -w_2, (a c_1 + b)(p - f) + e^λ z/2 = 0 at p = 1/(1 + e^-z), where f is
    # the share of the first class in the weighted, smoothed targets.
    smooth, weight = 1 / (1 + exp(-smoothing)), exp(log_weight)
    total = a * weight + b
    share = (1 - smooth) * a * weight / total + smooth / 2
    root = root_scalar(
        lambda z: total * (1 / (1 + exp(-z)) - share) + exp(decay) * z / 2, bracket=(-50, 50), xtol=1e-14, rtol=1e-14
    ).root
    X, t = np.ones((a + b, 1)), rng.permutation([0] * a + [1] * b)
    problem = Logistic(X, t, X, t, classes=2, divisor=float(a + b), h=4)
    w = problem.best_response(np.array([decay, smoothing, log_weight, 0.0]))
    assert_allclose(w, *exactly(np.array([root, -root]) / 2, 1.0))


@given(logistics())
def test_the_best_weights_of_an_input_sum_to_zero_over_classes(case: Case[Logistic]):
    r = case.problem.best_response(case.lam)
    W = r.reshape(*case.lead, case.problem.classes, -1)
    assert_allclose(W.sum(axis=-2), *exactly(np.zeros((*case.lead, W.shape[-1])), W, 1.0))


@given(logistics(), st.integers(0, 3))
def test_with_all_labels_smoothed_away_nothing_is_learned(case: Case[Logistic], k: int):
    problem = case.problem
    if problem.h == 1:
        return
    lam = case.lam.copy()
    lam[..., 1] = 50.0
    assert_allclose(problem.best_response(lam), 0.0, atol=1e-12)


@given(logistics())
def test_the_adjoint_gives_the_outer_loss_and_the_hypergradient(case: Case[Logistic]):
    for _, problem, lam, _ in case.replicates():
        loss, gradient = adjoint(problem)(lam)
        assert_allclose(loss, *exactly(problem.outer_loss(lam)))
        r, Theta = problem.best_response(lam), problem.best_response_jacobian(lam)
        assert_allclose(gradient, *exactly(problem.hypergradient(lam), Theta * problem.valid_grad_w(lam, r)[:, None]))


@given(logistics(leads=st.sampled_from([(), (3,)])))
def test_mini_batches_average_to_the_whole_over_an_epoch(case: Case[Logistic]):
    problem, n = case.problem, case.problem.n
    orders = np.array([case.rng.permutation(n) for _ in range(3)])
    batches = np.split(orders[0] if case.lead == () or case.shared else orders, n, axis=-1)
    for name in ("train_loss", "grad_w"):
        parts = [getattr(problem.rows(batch), name)(case.lam, case.w) for batch in batches]
        assert_allclose(np.mean(parts, axis=0), *exactly(getattr(problem, name)(case.lam, case.w), parts))


@settings(max_examples=2)
@given(logistics(single))
def test_the_best_found_is_level_or_falls_over_the_box(case: Case[Logistic]):
    problem, measured = case.problem, case.problem.optimum()
    low, high = problem.bounds
    _, gradient = adjoint(problem)(measured.lam_star)
    projected = measured.lam_star - np.clip(measured.lam_star - gradient, low, high)
    assert np.abs(projected).max() <= 1e-4
    assert_allclose(problem.outer_loss(measured.lam_star), *exactly(measured.loss_star))
    assert (
        measured.loss_star
        <= np.min(problem.outer_loss(np.linspace(low, high, 31)[:, None] * np.ones(problem.h))) + 1e-9
    )


@given(generators(), st.floats(10.0, 300.0))
def test_a_row_that_is_told_apart_keeps_its_loss_to_all_digits(rng, margin):
    # Two classes: log(1 + e^-margin), which as 1 plus something would be lost at margin = 37.
    x = rng.uniform(0.5, 2.0)
    loss = cross_entropy(np.array([[x]]), np.array([[1.0, 0.0]]), np.array([margin, 0.0]) / x)
    assert_allclose(loss, exp(-margin), rtol=1e-4)


@settings(max_examples=15)
@given(generators(), widths, st.integers(2, 4), st.floats(-10.0, -8.0))
def test_classes_that_are_told_apart_have_a_best_response_at_the_box_s_lower_end(rng, c, p, decay):
    t = np.tile(np.arange(c), 8)
    X = np.column_stack([rng.normal(size=(8 * c, p)) + 6.0 * np.eye(max(c, p))[t, :p], np.ones(8 * c)])
    problem = Logistic(X, t, X, t, classes=c, divisor=float(8 * c))
    lam = np.array([decay])
    r = problem.best_response(lam)
    assert_allclose(problem.grad_w(lam, r), 0.0, atol=1e-12)


# The update rules run on it as they are.


def fixed_point(problem: Logistic, lam: np.ndarray, sigma: float) -> np.ndarray:
    """Where the mean of Δ-STN's own steps on Θ vanishes, w0 being r(λ): by steps divided by σ² and the Hessian."""
    h, r, Theta = problem.h, problem.best_response(lam), np.zeros((problem.classes * problem.X.shape[-1], problem.h))
    eps, weights = quadrature(np.full(h, sigma), nodes=6 if h == 1 else 4)
    H = problem.hess_ww(lam, r)
    for _ in range(8):
        state = State(lam, np.full(h, sigma), r, FullResponse(Theta))
        after = inner_step(DELTA_STN, state, eps, problem, problem, 1.0)
        assert isinstance(after.response, FullResponse)
        moved = np.tensordot(weights, after.response.Theta, 1) - Theta
        Theta = Theta + np.linalg.solve(H, moved) / sigma**2
    return Theta


@settings(max_examples=6)
@given(logistics(single))
def test_at_a_small_scale_delta_stn_rests_at_the_exact_jacobian(case: Case[Logistic]):
    problem, lam = case.problem, case.lam
    exact = problem.best_response_jacobian(lam)
    measured = fixed_point(problem, lam, 1e-2)
    assert_allclose(measured, exact, atol=1e-3 * max(1.0, np.abs(exact).max()))
    # ... and what is left vanishes with σ².
    if np.linalg.norm(fixed_point(problem, lam, 0.02) - exact) > 1e-6 * np.linalg.norm(exact):
        assert abs(slope(lambda sigma: fixed_point(problem, lam, sigma) - exact, small=0.02) - 2) < 0.1


@given(logistics())
def test_the_exact_response_gives_stn_the_exact_hypergradient(case: Case[Logistic]):
    problem, lam = case.problem, case.lam
    r, Theta = problem.best_response(lam), problem.best_response_jacobian(lam)
    for method, w0 in ((DELTA_STN, r), (STN, r - np.matvec(Theta, lam))):
        state = State(lam, np.ones_like(lam), w0, FullResponse(Theta))
        terms = np.abs(Theta).max() * (1 + np.abs(w0).max())
        assert_allclose(learned_hypergradient(method, state, problem), *exactly(problem.hypergradient(lam), terms))


# What has no answer.


def test_separable_classes_without_decay_are_refused_by_name():
    X, t = np.array([[-1.0], [1.0]]), np.array([0, 1])
    problem = Logistic(X, t, X, t, classes=2, divisor=2.0)
    assert problem.best_response(np.array([-15.0]))[1] > 5.0
    for vanished in (-800.0, -200.0):
        with pytest.raises(ValueError, match=r"weight decay of .* separable"):
            problem.best_response(np.array([vanished]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_lam_that_is_not_finite_is_refused(value):
    problem = Logistic(np.ones((2, 1)), np.array([0, 1]), np.ones((1, 1)), np.array([0]), classes=2, divisor=2.0)
    with pytest.raises(ValueError, match="λ holds NaN or infinity"):
        problem.best_response(np.array([value]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": np.array([0, 2, 1])}, "between 0 and classes - 1 = 1"),
        ({"t": np.array([0, -1, 1])}, "between 0"),
        ({"t_valid": np.array([5])}, "between 0"),
        ({"t": np.array([0, 1])}, "differ in their rows"),
        ({"X_valid": np.ones((1, 3))}, "differ in their columns"),
        ({"X": np.full((3, 2), np.nan)}, "X holds NaN"),
        ({"X_valid": np.full((1, 2), np.inf)}, "X_valid holds NaN"),
        ({"h": 3}, "h = 3: it is 1, 2 or 2 [+] classes = 4"),
    ],
)
def test_data_that_do_not_go_together_are_refused(change, message):
    given = {"X": np.ones((3, 2)), "t": np.array([0, 1, 1]), "X_valid": np.ones((1, 2)), "t_valid": np.array([0])}
    with no_type_checks(), pytest.raises(ValueError, match=message):
        Logistic(**{**given, "classes": 2, "divisor": 3.0, **change})


@given(generators(), st.integers(1, 3))
def test_the_two_class_problem_is_even_in_the_classes(rng, p):
    # Swapping the labels swaps the rows of W.
    X, t = normal(rng, 5, p), rng.integers(0, 2, 5)
    first, other = (Logistic(X, labels, X, labels, classes=2, divisor=5.0) for labels in (t, 1 - t))
    r = first.best_response(np.zeros(1)).reshape(2, p)
    assert_allclose(other.best_response(np.zeros(1)).reshape(2, p)[::-1], *exactly(r))


@given(generators(), st.integers(1, 3), st.floats(-10.0, 0.0), st.floats(-10.0, 10.0), st.floats(0.0, 10.0))
@settings(max_examples=10)
def test_two_classes_have_the_weights_of_one_vector_however_small_the_decay(rng, p, decay, smoothing, apart):
    """W = (u, -u): the direction in which both move together, where only the decay holds them, is not there."""
    X, t = normal(rng, 8, p), np.array([0, 1] * 4)
    whole = Logistic(X, t, X, t, classes=2, divisor=8.0, h=4)
    lam, both = np.array([decay, smoothing, apart, -apart]), np.vstack([np.eye(p), -np.eye(p)])
    u = newton(
        lambda u: whole.train_loss_v(lam, both @ u),
        lambda u: both.T @ whole.train_grad_v(lam, both @ u),
        lambda u: both.T @ whole.train_hess_vv(lam, both @ u) @ both,
        np.zeros(p),
    )
    assert_allclose(whole.best_response(lam), both @ u, rtol=1e-10, atol=1e-10 * np.abs(u).max())
