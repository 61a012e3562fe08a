"""Every closed form of `fixed_points` against quadrature, a stacked least-squares fit, or a numerical minimiser."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

from reference.bilevel.transforms import Exp, Linear, Logistic
from reference.problems import fixed_points
from reference.problems.ridge import Ridge
from reference.rule.perturbation import entropy, quadrature
from tests.strategies import EXACT, Case, exactly, generators, normal, ridges, symmetric

NODES = 40
scales = st.floats(0.05, 1.5)
alone = st.just(())
penalties = st.just(Exp())
themselves = st.just(Linear())


def mean(function: Callable[[ndarray], ndarray], sigma: ndarray) -> ndarray:
    """E[function(ε)] for one hyperparameter, as a loop over Gauss-Hermite points."""
    points, weights = quadrature(sigma, NODES)
    return np.sum([weight * function(eps) for eps, weight in zip(points, weights, strict=True)], axis=0)


def gradients(ridge: Ridge, lam: ndarray, sigma: ndarray, w0: ndarray, Theta: ndarray) -> ndarray:
    """E of the gradients of L_T(λ+ε, w0+Θε) in w0 and in Θ, as rows."""
    return mean(lambda eps: np.outer([1.0, eps[0]], ridge.grad_w(lam + eps, w0 + Theta @ eps)), sigma)


def terms(ridge: Ridge, lam: ndarray, w0: ndarray, Theta: ndarray) -> ndarray:
    """What cancels in those gradients: the data's and the penalty's, entry by entry in absolute value."""
    size = np.abs(w0) + np.abs(Theta[:, 0])
    return np.append(np.abs(ridge.hess_ww(lam + 3.0, w0)) @ size, np.abs(ridge.Xt) / ridge.n)


# Moments.


@given(ridges(alone), scales)
def test_moments_of_the_penalty(case: Case[Ridge], scale: float) -> None:
    ridge, sigma = case.problem, np.array([scale])
    measured = fixed_points.penalty_moments(ridge, case.lam, sigma)
    moments = mean(lambda eps: ridge.s(case.lam + eps) * eps ** np.arange(3), sigma) * ridge.n / ridge.divisor
    desired = moments / np.array([1.0, scale**2, scale**2])
    assert_allclose(np.concatenate(measured), *exactly(desired))


def test_a_rate_has_no_moments_in_closed_form() -> None:
    ones = np.ones((1, 1))
    with pytest.raises(ValueError, match=r"exp\(λ\) or λ only"):
        fixed_points.penalty_moments(Ridge(ones, ones[0], ones, ones[0], 1.0, s=Logistic()), ones[0], ones[0])


# Eqn. 3.10.


@given(ridges(alone), scales)
def test_eqn_3_10_is_stationary_in_Theta(case: Case[Ridge], scale: float) -> None:
    ridge, lam, w0, sigma = case.problem, case.lam, case.w, np.array([scale])
    Theta = fixed_points.response_minimiser(ridge, lam, w0, sigma)
    gradient = gradients(ridge, lam, sigma, w0, Theta)[1]
    assert_allclose(gradient, *exactly(0 * w0, terms(ridge, lam, w0, Theta)))


# Appendix D.


@given(ridges(alone), scales)
def test_eqn_d_1_is_stationary(case: Case[Ridge], scale: float) -> None:
    ridge, lam, sigma = case.problem, case.lam, np.array([scale])
    w = fixed_points.perturbed_best_response(ridge, lam, sigma)
    none = np.zeros((len(w), 1))
    assert_allclose(gradients(ridge, lam, sigma, w, none)[0], *exactly(0 * w, terms(ridge, lam, w, none)))


@given(ridges(alone), scales)
def test_eqn_d_8_solves_the_mean_of_d_4(case: Case[Ridge], scale: float) -> None:
    ridge, lam, w0, sigma = case.problem, case.lam, case.w, np.array([scale])
    Theta = fixed_points.appendix_d_response(ridge, lam, w0, sigma)
    penalty = np.vectorize(lambda x: float(ridge.s(np.array([x]))[0]) * ridge.n / ridge.divisor)
    A = mean(lambda eps: ridge.A + penalty(lam + eps) * np.eye(len(w0)), sigma)
    B = mean(lambda eps: ridge.n / ridge.divisor * ridge.s.derivative(lam + eps) * w0, sigma)[:, None]
    assert_allclose(A @ Theta, *exactly(-B, np.abs(A) @ np.abs(Theta)))


# Eqn. 2.5, both unknowns.


@given(ridges(alone, s=penalties), scales)
def test_joint_minimiser_is_a_weighted_least_squares_fit(case: Case[Ridge], scale: float) -> None:
    ridge, lam, sigma = case.problem, case.lam, np.array([scale])
    m, rows, targets = len(case.w), [], []
    for eps, weight in zip(*quadrature(sigma, NODES), strict=True):
        if weight < 1e-40:  # beyond anything that counts, but it would spoil the fit's scaling
            continue
        penalty = ridge.n / ridge.divisor * ridge.s(lam + eps)[0]
        block = np.vstack([ridge.X, np.sqrt(penalty) * np.eye(m)])
        rows.append(np.sqrt(weight) * np.hstack([block, eps * block]))
        targets.append(np.sqrt(weight) * np.append(ridge.t, np.zeros(m)))
    fit = np.linalg.lstsq(np.vstack(rows), np.concatenate(targets))[0]
    w0, Theta = fixed_points.joint_minimiser(ridge, lam, sigma)
    assert_allclose(np.append(w0, Theta), fit, rtol=1e-8, atol=1e-8 * np.abs(fit).max())


@given(ridges(alone, s=penalties), scales)
def test_joint_minimiser_is_stationary(case: Case[Ridge], scale: float) -> None:
    ridge, lam, sigma = case.problem, case.lam, np.array([scale])
    w0, Theta = fixed_points.joint_minimiser(ridge, lam, sigma)
    measured = gradients(ridge, lam, sigma, w0, Theta)
    assert_allclose(measured, *exactly(0 * measured, terms(ridge, lam, w0, Theta)))


def test_joint_minimiser_of_a_tiny_scale_is_the_exact_answer_where_features_outnumber_rows() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X, t = 30 * rng.normal(size=(5, 8)), rng.normal(size=5)
        ridge, lam, sigma = Ridge(X, t, X, t, divisor=5.0), rng.uniform(-3, 3, 1), 10.0 ** rng.uniform(-10, -8, 1)
        w0, Theta = fixed_points.joint_minimiser(ridge, lam, sigma)
        for measured, exact in ((w0, ridge.best_response(lam)), (Theta, ridge.best_response_jacobian(lam))):
            assert_allclose(measured, *exactly(exact, w0))


@given(ridges(alone), scales)
def test_joint_hessian_column_by_column(case: Case[Ridge], scale: float) -> None:
    ridge, lam, sigma, m = case.problem, case.lam, np.array([scale]), len(case.w)
    zero = gradients(ridge, lam, sigma, np.zeros(m), np.zeros((m, 1)))
    columns = [gradients(ridge, lam, sigma, e[:m], e[m:, None]) - zero for e in np.eye(2 * m)]
    dense = ridge.n * np.stack([column.ravel() for column in columns], axis=-1)
    assert_allclose(fixed_points.joint_hessian(ridge, lam, sigma), *exactly(dense, ridge.Xt))


# Appendix G.


def least_eigenvalue(ridge: Ridge, lam: ndarray) -> float:
    """The least eigenvalue of K over n/divisor, the bound on σ, from X's singular values."""
    singular = np.linalg.svd(ridge.X, compute_uv=False)
    wide = ridge.X.shape[1] > len(singular)
    return float((0.0 if wide else singular[-1] ** 2) * ridge.divisor / ridge.n + lam[0])


@given(ridges(alone, s=themselves), st.floats(0.05, 0.95))
def test_appendix_g_is_the_joint_minimiser_and_solves_g_7_and_g_8(case: Case[Ridge], share: float) -> None:
    ridge, lam = case.problem, case.lam
    sigma = np.array([share * least_eigenvalue(ridge, lam)])
    w0, Theta = fixed_points.appendix_g_minimiser(ridge, lam, sigma)
    c, K = ridge.n / ridge.divisor, ridge.K(lam)
    g_7, g_8 = ridge.Xt - c * Theta[:, 0] * sigma**2, -c * w0[:, None]
    assert_allclose(K @ w0, *exactly(g_7, ridge.Xt, np.abs(K) @ np.abs(w0)))
    assert_allclose(K @ Theta, *exactly(g_8, np.abs(K) @ np.abs(Theta)))
    joint = fixed_points.joint_minimiser(ridge, lam, sigma)
    assert_allclose(joint[0], *exactly(w0, Theta * sigma))
    assert_allclose(joint[1] * sigma, *exactly(Theta * sigma, w0))


@given(ridges(alone, s=themselves), st.floats(1.001, 3.0))
def test_appendix_g_has_no_minimum_above_its_bound(case: Case[Ridge], share: float) -> None:
    ridge, lam = case.problem, case.lam
    sigma = np.array([share * least_eigenvalue(ridge, lam)])
    assert np.linalg.eigvalsh(fixed_points.joint_hessian(ridge, lam, sigma))[0] < 0
    with pytest.raises(ValueError, match="no unique minimum"):
        fixed_points.appendix_g_minimiser(ridge, lam, sigma)
    with pytest.raises(ValueError, match="no minimum, or no unique one"):
        fixed_points.joint_minimiser(ridge, lam, sigma)


def test_appendix_g_at_its_bound_is_flat_and_refused() -> None:
    first, two = np.ones((1, 1)), np.array([2.0])
    ridge = Ridge(first, first[0], first, first[0], divisor=1.0, s=Linear())  # K = 1 + 1, σ = 2
    for minimiser in (fixed_points.appendix_g_minimiser, fixed_points.joint_minimiser):
        with pytest.raises(ValueError, match="unique"):
            minimiser(ridge, first[0], two)


def test_appendix_g_wants_the_penalty_itself() -> None:
    ones = np.ones((1, 1))
    with pytest.raises(ValueError, match=r"s=Linear\(\)"):
        fixed_points.appendix_g_minimiser(Ridge(ones, ones[0], ones, ones[0], divisor=1.0), ones[0], ones[0])


# Eqn. 2.7.


@given(generators(), st.integers(1, 3), st.floats(-3.0, 0.0))
def test_scale_minimiser_against_a_numerical_one(rng: np.random.Generator, h: int, power: float) -> None:
    H, Theta, tau = symmetric(rng, (), rng.uniform(0.1, 3.0, 4)), normal(rng, 4, h), 10.0**power
    measured = fixed_points.scale_minimiser(Theta, H, tau)
    for i in range(h):

        def objective(log_scale: float, i: int = i) -> float:
            sigma = measured.copy()
            sigma[i] = np.exp(log_scale)
            points, weights = quadrature(sigma, nodes=3)
            quadratic = np.einsum("ka,ab,kb->k", points @ Theta.T, H, points @ Theta.T) / 2
            return float(weights @ quadratic - tau * entropy(sigma))

        around = np.log(measured[i]) - 1, np.log(measured[i]) + 0.9
        best: Any = minimize_scalar(objective, bounds=around, method="bounded", options={"xatol": 1e-10})
        # A minimiser is found to about the root of the rounding of the objective.
        assert_allclose(measured[i], np.exp(best.x), rtol=1e-5)


@pytest.mark.parametrize(("theta", "tau"), [(1.0, 0.0), (1.0, -1.0), (0.0, 1.0)])
def test_a_scale_without_a_minimiser_is_refused(theta: float, tau: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        fixed_points.scale_minimiser(np.array([[theta]]), np.ones((1, 1)), tau)


# Penalties without a minimum.


@pytest.mark.parametrize("penalty", [0.0, -0.1, -1.0])
def test_dependent_features_without_a_positive_penalty_are_refused_by_every_form(penalty: float) -> None:
    X, t, lam, sigma = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]), np.arange(3.0), np.array([penalty]), np.ones(1)
    ridge = Ridge(X, t, X, t, divisor=1.0, s=Linear())
    forms: list[Callable[[], object]] = [
        lambda: ridge.best_response(lam),
        lambda: fixed_points.response_minimiser(ridge, lam, np.ones(2), sigma),
        lambda: fixed_points.perturbed_best_response(ridge, lam, sigma),
        lambda: fixed_points.appendix_d_response(ridge, lam, np.ones(2), sigma),
        lambda: fixed_points.joint_minimiser(ridge, lam, sigma),
        lambda: fixed_points.appendix_g_minimiser(ridge, lam, sigma),
    ]
    for form in forms:
        with pytest.raises(ValueError, match="unique"):
            form()


# A metric.


@given(ridges(metric=st.just(True)), st.floats(0.05, 0.4))
def test_every_form_in_a_metric_is_that_in_scaled_weights(case: Case[Ridge], scale: float) -> None:
    ridge, lam, sigma, root = case.problem, case.lam, np.full(case.lam.shape, scale), np.sqrt(case.problem.D)
    X, X_valid = (part / root[..., None, :] for part in (ridge.X, ridge.X_valid))
    plain, u0 = replace(ridge, X=X, X_valid=X_valid, metric=1.0), root * case.w

    def forms(ridge: Ridge, w0: ndarray) -> list[ndarray]:
        joint = [fixed_points.joint_minimiser, fixed_points.appendix_g_minimiser][: 1 + isinstance(ridge.s, Linear)]
        return [
            fixed_points.response_minimiser(ridge, lam, w0, sigma)[..., 0],
            fixed_points.appendix_d_response(ridge, lam, w0, sigma)[..., 0],
            fixed_points.perturbed_best_response(ridge, lam, sigma),
            *(part.reshape(w0.shape) for form in joint for part in form(ridge, lam, sigma)),
        ]

    for actual, desired in zip(forms(ridge, case.w), forms(plain, u0), strict=True):
        assert_allclose(actual, *exactly(desired / root))
    roots = np.concatenate([root, root], axis=-1)
    hessian = roots[..., None] * fixed_points.joint_hessian(plain, lam, sigma) * roots[..., None, :]
    assert_allclose(fixed_points.joint_hessian(ridge, lam, sigma), *exactly(hessian))


# Replicates.


@given(ridges(), st.floats(0.05, 0.4))
def test_replicates_are_independent(case: Case[Ridge], scale: float) -> None:
    sigma = np.full(case.lam.shape, scale)
    w0 = case.w

    def all_forms(ridge: Ridge, lam: ndarray, w0: ndarray, sigma: ndarray) -> list[ndarray]:
        return [
            fixed_points.response_minimiser(ridge, lam, w0, sigma)[..., 0],
            fixed_points.appendix_d_response(ridge, lam, w0, sigma)[..., 0],
            fixed_points.perturbed_best_response(ridge, lam, sigma),
            fixed_points.joint_hessian(ridge, lam, sigma).reshape(*lam.shape[:-1], -1),
            *(part.reshape(*lam.shape[:-1], -1) for part in fixed_points.joint_minimiser(ridge, lam, sigma)),
        ]

    together = all_forms(case.problem, case.lam, w0, sigma)
    for index, ridge, lam, w in case.replicates():
        for measured, desired in zip(together, all_forms(ridge, lam, w, sigma[index]), strict=True):
            assert_allclose(measured[index], desired, rtol=EXACT, atol=EXACT * np.abs(desired).max())


@given(ridges(s=themselves), st.floats(0.05, 0.4))
def test_replicates_of_appendix_g(case: Case[Ridge], scale: float) -> None:
    sigma = np.full(1, scale)  # shared, without the leading axes
    w0, Theta = fixed_points.appendix_g_minimiser(case.problem, case.lam, sigma)
    for index, ridge, lam, _ in case.replicates():
        alone_w0, alone_Theta = fixed_points.appendix_g_minimiser(replace(ridge), lam, sigma)
        assert_allclose(w0[index], *exactly(alone_w0))
        assert_allclose(Theta[index], *exactly(alone_Theta))
