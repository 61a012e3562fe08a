"""Eqn. H.1, undivided, with appendix G's penalty, in a metric: r(λ) and its Jacobian by every other route there is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.linear_model import Ridge as SklearnRidge

from reference.bilevel.transforms import Exp, Linear
from reference.problems.dropout import InputDropout
from reference.problems.ridge import Ridge
from tests.strategies import Case, exactly, ridges, rows

in_metric = ridges(metric=st.just(True))
with_exp = ridges(s=st.just(Exp()))
with_linear = ridges(s=st.just(Linear()))
# At least as many rows as columns, so that XᵀX has a least eigenvalue away from zero.
tall = ridges(s=st.just(Linear()), n=st.integers(4, 7))


def plain_penalty(problem: Ridge, lam: np.ndarray) -> float:
    """What n L_T multiplies ½‖w‖² with, for one replicate."""
    value = lam[0] if isinstance(problem.s, Linear) else np.exp(lam[0])
    return value if problem.divisor == problem.n else problem.n * value


def plain_penalty_slope(problem: Ridge, lam: np.ndarray) -> float:
    """Its derivative in λ."""
    return plain_penalty(problem, np.ones(1)) if isinstance(problem.s, Linear) else plain_penalty(problem, lam)


@given(ridges())
def test_eqn_h_1_is_a_sum_over_rows_and_one_over_weights(case: Case[Ridge]):
    actual = np.asarray(case.problem.train_loss(case.lam, case.w))
    for index, problem, lam, w in case.replicates():
        n = len(problem.t)
        predictions = [sum(x[j] * w[j] for j in range(len(w))) for x in problem.X]
        data = sum((y - t) ** 2 for y, t in zip(predictions, problem.t, strict=True))
        penalty = plain_penalty(problem, lam) * sum(w_j**2 for w_j in w)
        assert_allclose(actual[index], *exactly((data + penalty) / (2 * n)))


@given(ridges())
def test_the_best_response_is_scikit_learns(case: Case[Ridge]):
    actual = case.problem.best_response(case.lam)
    for index, problem, lam, _ in case.replicates():
        sklearn = SklearnRidge(alpha=plain_penalty(problem, lam), fit_intercept=False, solver="cholesky")
        assert_allclose(actual[index], *exactly(sklearn.fit(problem.X, problem.t).coef_))


@given(ridges())
def test_the_best_response_shrinks_the_singular_values(case: Case[Ridge]):
    actual = case.problem.best_response(case.lam)
    for index, problem, lam, _ in case.replicates():
        U, s, Vh = np.linalg.svd(problem.X, full_matrices=False)
        desired = Vh.T @ (s / (s**2 + plain_penalty(problem, lam)) * (U.T @ problem.t))
        assert_allclose(actual[index], *exactly(desired))


@given(ridges())
def test_the_best_response_solves_the_dual_problem(case: Case[Ridge]):
    actual = case.problem.best_response(case.lam)
    for index, problem, lam, _ in case.replicates():
        X, t = problem.X, problem.t
        kernel = X @ X.T + plain_penalty(problem, lam) * np.eye(len(t))
        assert_allclose(actual[index], *exactly(X.T @ np.linalg.solve(kernel, t)))


@given(ridges())
def test_the_best_response_is_least_squares_with_rows_added(case: Case[Ridge]):
    actual = case.problem.best_response(case.lam)
    for index, problem, lam, w in case.replicates():
        m = len(w)
        augmented = np.vstack([problem.X, np.sqrt(plain_penalty(problem, lam)) * np.eye(m)])
        desired = np.linalg.lstsq(augmented, np.concatenate([problem.t, np.zeros(m)]))[0]
        assert_allclose(actual[index], *exactly(desired))


@given(ridges())
def test_the_jacobian_shrinks_the_singular_values_twice(case: Case[Ridge]):
    actual = case.problem.best_response_jacobian(case.lam)
    for index, problem, lam, _ in case.replicates():
        U, s, Vh = np.linalg.svd(problem.X, full_matrices=False)
        shrunk = s / (s**2 + plain_penalty(problem, lam)) ** 2 * (U.T @ problem.t)
        assert_allclose(actual[index][:, 0], *exactly(-plain_penalty_slope(problem, lam) * (Vh.T @ shrunk)))


@given(with_exp)
def test_the_jacobian_is_minus_penalty_times_k_inverse_times_r(case: Case[Ridge]):
    # DESIGN's closed form, by least squares with rows added: K⁻¹r minimises ½‖X z‖² + ½ penalty ‖z‖² - rᵀz.
    actual = case.problem.best_response_jacobian(case.lam)
    for index, problem, lam, w in case.replicates():
        penalty = plain_penalty(problem, lam)
        augmented = np.vstack([problem.X, np.sqrt(penalty) * np.eye(len(w))])
        r, Q_R = problem.best_response(lam), np.linalg.qr(augmented).R
        K_inverse_r = np.linalg.solve(Q_R, np.linalg.solve(Q_R.T, r))
        assert_allclose(actual[index][:, 0], *exactly(-penalty * K_inverse_r))


@given(ridges())
def test_the_response_shrinks_as_the_penalty_grows(case: Case[Ridge]):
    less, more = (np.sum(case.problem.best_response(case.lam + d) ** 2, axis=-1) for d in (0.0, 0.5))
    assert (more < less).all()


@given(with_linear)
def test_the_penalty_itself_and_its_logarithm_are_one_problem(case: Case[Ridge]):
    # Eqn. G.1 at penalty λ is H.1 at log λ; d log λ / dλ = 1/λ.
    in_log, log = replace(case.problem, s=Exp()), np.log(case.lam)
    for name in ("best_response", "outer_loss"):
        assert_allclose(getattr(case.problem, name)(case.lam), *exactly(getattr(in_log, name)(log)), err_msg=name)
    jacobian, hypergradient = in_log.best_response_jacobian(log), in_log.hypergradient(log)
    assert_allclose(case.problem.best_response_jacobian(case.lam), *exactly(jacobian / case.lam[..., None]))
    terms = np.abs(jacobian).max() * np.abs(case.problem.valid_grad_w(case.lam, case.problem.best_response(case.lam)))
    assert_allclose(case.problem.hypergradient(case.lam), *exactly(hypergradient / case.lam, terms))


@given(tall)
def test_the_optimal_penalty_is_the_exponential_of_the_optimal_logarithm(case: Case[Ridge]):
    measured, in_log = case.problem.optimum(), replace(case.problem, s=Exp()).optimum()
    assert_allclose(case.problem.outer_loss(measured.lam_star), *exactly(in_log.loss_star))
    assert np.array_equal(measured.where, in_log.where)


@given(ridges(leads=st.sampled_from([(), (3,)]), n=st.sampled_from([2, 4, 6])))
def test_mini_batches_average_to_the_whole_over_an_epoch(case: Case[Ridge]):
    problem, lam, w, n = case.problem, case.lam, case.w, case.problem.n
    orders = np.array([case.rng.permutation(n) for _ in range(3)])
    batches = np.split(orders[0] if case.lead == () or case.shared else orders, 2, axis=-1)
    losses = [problem.rows(batch).train_loss(lam, w) for batch in batches]
    gradients = [problem.rows(batch).grad_w(lam, w) for batch in batches]
    assert_allclose(np.mean(losses, axis=0), *exactly(problem.train_loss(lam, w)))
    assert_allclose(np.mean(gradients, axis=0), *exactly(problem.grad_w(lam, w), gradients))


@given(tall)
def test_a_negative_penalty_has_a_minimum_until_it_reaches_minus_the_least_eigenvalue(case: Case[Ridge]):
    least = np.linalg.svd(case.problem.X, compute_uv=False).min(axis=-1) ** 2
    in_lam = np.broadcast_to(least * case.problem.divisor / case.problem.n, case.lead)[..., None]
    inside, outside = -0.9 * in_lam, -1.1 * in_lam
    gradient = case.problem.grad_w(inside, case.problem.best_response(inside))
    assert_allclose(gradient, *exactly(np.zeros_like(gradient), case.problem.Xt, case.problem.A))
    for refused in (case.problem.best_response, case.problem.best_response_jacobian, case.problem.outer_loss):
        with pytest.raises(ValueError, match="not positive definite"):
            refused(outside)


@given(ridges(leads=st.just((3,)), s=st.just(Linear()), n=rows))
def test_one_replicate_without_a_minimum_is_enough_to_refuse(case: Case[Ridge]):
    lam = case.lam.copy()
    lam[1] = -200.0  # the largest eigenvalue of XᵀX is 100
    with pytest.raises(ValueError, match="not positive definite"):
        case.problem.best_response(lam)


# A metric.


def in_scaled_weights(problem: Ridge) -> Ridge:
    """H.1 in u = D^½ w: its features are X D^-½ and its metric is I."""
    root = np.sqrt(problem.D)[..., None, :]
    return replace(problem, X=problem.X / root, X_valid=problem.X_valid / root, metric=1.0)


@given(in_metric)
def test_ridge_in_a_metric_is_ridge_in_scaled_weights(case: Case[Ridge]):
    problem, lam, w, plain = case.problem, case.lam, case.w, in_scaled_weights(case.problem)
    root, dw = np.sqrt(problem.D), case.normal(w.shape[-1])
    u, du = root * w, root * dw
    terms = np.abs(plain.hess_ww(lam, u)).max() * np.abs([u, du]).max() * root.max(), problem.Xt
    assert_allclose(problem.train_loss(lam, w), *exactly(plain.train_loss(lam, u)))
    assert_allclose(problem.grad_w(lam, w), *exactly(root * plain.grad_w(lam, u), *terms))
    assert_allclose(problem.hess_vec(lam, w, dw), *exactly(root * plain.hess_vec(lam, u, du), *terms))
    assert_allclose(problem.hess_wlam(lam, w), *exactly(root[..., None] * plain.hess_wlam(lam, u)))
    assert_allclose(problem.K(lam), *exactly(root[..., None] * plain.K(lam) * root[..., None, :]))
    assert_allclose(problem.hess_ww(lam, w), *exactly(problem.K(lam) / problem.n))
    assert_allclose(problem.best_response(lam), *exactly(plain.best_response(lam) / root))
    assert_allclose(problem.best_response_jacobian(lam), *exactly(plain.best_response_jacobian(lam) / root[..., None]))
    v = plain.best_response(lam)
    slopes = np.abs(plain.best_response_jacobian(lam)).max() * np.abs(plain.valid_grad_w(lam, v)).max()
    assert_allclose(problem.outer_loss(lam), *exactly(plain.outer_loss(lam)))
    assert_allclose(problem.hypergradient(lam), *exactly(plain.hypergradient(lam), slopes))


@given(ridges(n=st.integers(4, 7), metric=st.just(True)))
def test_the_optimum_in_a_metric_is_that_in_scaled_weights(case: Case[Ridge]):
    optimum, plain = case.problem.optimum(), in_scaled_weights(case.problem).optimum()
    # The terms are what cancels in a loss of next to nothing.
    assert_allclose(optimum.loss_star, *exactly(plain.loss_star, case.problem.t_valid**2))
    assert_allclose(case.problem.outer_loss(plain.lam_star), *exactly(optimum.loss_star, case.problem.t_valid**2))


@given(in_metric)
def test_in_a_metric_the_penalty_is_a_sum_of_weighted_squares(case: Case[Ridge]):
    actual = np.asarray(case.problem.train_loss(case.lam, case.w))
    for index, problem, lam, w in case.replicates():
        data = sum((x @ w - t) ** 2 for x, t in zip(problem.X, problem.t, strict=True))
        penalty = plain_penalty(problem, lam) * sum(d * w_j**2 for d, w_j in zip(problem.D, w, strict=True))
        assert_allclose(actual[index], *exactly((data + penalty) / (2 * len(problem.t))))


@given(ridges(leads=st.just(()), s=st.just(Exp()), n=rows))
def test_input_dropout_is_ridge_in_the_metric_of_the_features(case: Case[Ridge]):
    problem, n = case.problem, float(case.problem.n)
    dropout = InputDropout(problem.X, problem.t, problem.X_valid, problem.t_valid)
    ridge = replace(problem, divisor=n, metric=dropout.D)
    for name in ("best_response", "best_response_jacobian", "K"):
        assert_allclose(getattr(ridge, name)(case.lam), *exactly(getattr(dropout, name)(case.lam)), err_msg=name)


@given(ridges(leads=st.just((3,)), metric=st.just(True)), st.floats(0.1, 10.0))
def test_a_number_is_that_multiple_of_the_identity_and_a_row_is_for_all_replicates(case: Case[Ridge], number: float):
    lam, m = case.lam, case.w.shape[-1]
    multiple = replace(case.problem, metric=number)
    divided = replace(multiple, metric=1.0, divisor=multiple.divisor / number)
    for same in (divided, replace(multiple, metric=multiple.D)):
        assert_allclose(same.best_response_jacobian(lam), *exactly(multiple.best_response_jacobian(lam)))
        assert_allclose(same.grad_w(lam, case.w), *exactly(multiple.grad_w(lam, case.w), multiple.Xt))
    row = case.problem.D.reshape(-1, m)[0]
    shared, whole = (replace(case.problem, metric=D) for D in (row, row * np.ones((*case.problem.X.shape[:-2], m))))
    assert_allclose(shared.best_response(lam), *exactly(whole.best_response(lam)))


@given(ridges(leads=st.just((3,)), n=st.just(4), metric=st.just(True)))
def test_a_mini_batch_keeps_the_metric(case: Case[Ridge]):
    problem, order = case.problem, case.rng.permutation(4)
    gradients = [problem.rows(batch).grad_w(case.lam, case.w) for batch in np.split(order, 2)]
    assert_allclose(np.mean(gradients, axis=0), *exactly(problem.grad_w(case.lam, case.w), gradients))


@pytest.mark.usefixtures("no_types_checked")
@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (0.0, "not positive"),
        (np.array([1.0, -1.0]), "not positive"),
        (np.ones(3), r"shape \(3,\); one number for each of 2"),
        (np.ones((1, 2)), "shape"),
        (np.array([1.0, np.nan]), "NaN"),
        (np.inf, "infinity"),
    ],
)
def test_a_metric_that_is_none_is_refused(metric: float | np.ndarray, message: str):
    eye, t = np.eye(2), np.ones(2)
    with pytest.raises(ValueError, match=message):
        Ridge(eye, t, eye, t, divisor=1.0, metric=metric)
