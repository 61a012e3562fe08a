"""Figure 2's problem: slopes that saturate against loops over their entries, and ridge regression in v."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reference.bilevel.transforms import Linear
from reference.problems.ridge import Ridge
from reference.problems.saturating import SaturatingSlopes, Saturation
from reference.rule.perturbation import quadrature
from reference.rule.updates import DELTA_STN, perturbed_gradient
from tests.strategies import Case, differences, exactly, generators, leads, normal, regressions, rows, sizes

# Slopes are smooth in log λ: near 0 an even grid misses the peaks of nearly dependent features.
PENALTIES = np.concatenate([[0.0], np.geomspace(1e-6, 8.0, 400)])


def saturating(data, n, divided=False):
    """Slopes that saturate half as far again as ridge's largest between penalties 0 and 8."""
    divisor = float(n if divided else 1)
    ridge = Ridge(*data, divisor=divisor, s=Linear())
    slopes = ridge.best_output(PENALTIES.reshape(-1, *[1] * data[1].ndim))
    return SaturatingSlopes(*data, divisor=divisor, s=Linear(), c=1.5 * np.abs(slopes).max(axis=0))


def cases(leads=leads):
    """Problems of at least as many rows as features, so that ridge has slopes at penalty 0; λ is 0.5 to 6.5."""
    return st.booleans().flatmap(
        lambda divided: regressions(
            lambda data, n: saturating(data, n, divided), sizes, rows.map(lambda n: n + 4), leads, shift=3.5
        )
    )


def ridge_of(problem):
    """Ridge regression on the same data."""
    return Ridge(**{field.name: getattr(problem, field.name) for field in fields(Ridge)})


@given(generators(), leads, sizes)
def test_products_with_the_jacobian_are_those_of_a_matrix_of_differences(rng, lead, m):
    f, w = Saturation(np.exp(normal(rng, *lead, m))), normal(rng, *lead, m)
    dw, g = normal(rng, *lead, m), normal(rng, *lead, m)
    J, rtol, atol = differences(f, w)
    assert_allclose(f.jacobian(w), J, rtol=rtol, atol=atol)
    assert_allclose(f.jvp(w, dw), np.matvec(J, dw), rtol=rtol, atol=10 * atol)
    assert_allclose(f.vjp(w, g), np.vecmat(g, J), rtol=rtol, atol=10 * atol)
    assert_allclose(f.curvature(w, g), *differences(lambda w: f.vjp(w, g), w))


@given(generators(), st.floats(-8.0, 8.0))
def test_a_slope_is_c_tanh_and_stays_within_its_bound(rng, w):
    c = np.exp(normal(rng, 1))
    v = Saturation(c)(np.array([w]))
    assert_allclose(v, c * (np.exp(w) - np.exp(-w)) / (np.exp(w) + np.exp(-w)), rtol=1e-12, atol=1e-15)
    assert np.abs(v) < c


@given(cases())
def test_the_training_gradient_vanishes_at_the_best_response(case: Case[SaturatingSlopes]):
    problem, lam = case.problem, case.lam
    r = problem.best_response(lam)
    terms = (problem.Xt / problem.n, problem.s(lam) / problem.divisor * problem.f(r))
    assert_allclose(problem.grad_w(lam, r), *exactly(np.zeros(r.shape), *terms))


@given(cases())
def test_the_best_slopes_are_ridges(case: Case[SaturatingSlopes]):
    problem, lam = case.problem, case.lam
    ridge = ridge_of(problem)
    assert_allclose(problem.f(problem.best_response(lam)), *exactly(ridge.best_response(lam)))
    assert_allclose(problem.outer_loss(lam), *exactly(ridge.outer_loss(lam)))
    gradient = ridge.best_response_jacobian(lam), ridge.valid_grad_w(lam, ridge.best_response(lam))
    terms = np.abs(gradient[0]).max() * np.abs(gradient[1]).max()
    assert_allclose(problem.hypergradient(lam), *exactly(ridge.hypergradient(lam), np.array(terms)))


@given(cases())
def test_the_best_response_jacobian_is_that_of_differences(case: Case[SaturatingSlopes]):
    problem, lam = case.problem, case.lam
    assert_allclose(problem.best_response_jacobian(lam), *differences(problem.best_response, lam))


@given(cases())
def test_at_the_best_response_the_hessian_is_gauss_newtons_and_elsewhere_that_of_differences(
    case: Case[SaturatingSlopes],
):
    problem, lam = case.problem, case.lam
    r = problem.best_response(lam)
    terms = problem.f.slope(r) * problem.Xt
    assert_allclose(problem.hess_ww(lam, r), *exactly(problem.gauss_newton(lam, r), terms))
    assert_allclose(problem.hess_ww(lam, case.w), *differences(lambda w: problem.grad_w(lam, w), case.w))


@given(cases(leads=st.just(())), st.floats(0.05, 3.0), st.booleans())
def test_delta_stn_rests_where_ridge_does_in_v_at_every_scale(
    case: Case[SaturatingSlopes], scale: float, at_rest: bool
):
    # L_T is cubic in (λ, v), but E[ε³] = 0. Only at w0 = r(λ) is this the exact Jacobian: Theorem 3 has any w0.
    problem, lam, sigma = case.problem, case.lam, np.array([scale])
    w0 = problem.best_response(lam) if at_rest else case.w
    slopes, n_over_divisor = problem.f.slope(w0)[:, None], problem.n / problem.divisor
    Theta = -n_over_divisor * np.linalg.solve(problem.K(lam), problem.f(w0)[:, None]) / slopes
    steps = [
        weight * np.outer(perturbed_gradient(DELTA_STN, problem, lam + eps, w0, Theta @ eps), eps)
        for eps, weight in zip(*quadrature(sigma, 4), strict=True)
    ]
    assert_allclose(np.sum(steps, axis=0), *exactly(0 * Theta, np.sum(np.abs(steps), axis=0)))
    if at_rest:
        assert_allclose(Theta, *exactly(problem.best_response_jacobian(lam)))
    else:
        off = np.abs(Theta - problem.best_response_jacobian(lam))
        assert off.max() > 1e-3 * np.abs(Theta).max()


@given(cases(leads=st.just(())))
def test_the_optimum_is_ridges_over_penalties_from_0_to_5(case: Case[SaturatingSlopes]):
    problem = case.problem
    ridge, actual = ridge_of(problem), problem.optimum()
    losses = ridge.outer_loss(np.linspace(0.0, 5.0, 1001)[:, None])
    assert 0.0 <= actual.lam_star[0] <= 5.0
    squares = problem.t_valid**2  # a loss near 0 is what squares of this size leave
    assert_allclose(actual.loss_star, *exactly(ridge.outer_loss(actual.lam_star), squares))
    assert actual.loss_star <= losses.min() * (1 + 1e-10) + 1e-16 * squares.max()


@given(cases(leads=st.just(())))
def test_a_slope_beyond_its_bound_has_no_finite_best_response(case: Case[SaturatingSlopes]):
    problem = case.problem
    v = ridge_of(problem).best_output(case.lam)
    tight = replace(problem, c=np.abs(v) / 1.01)
    with pytest.raises(ValueError, match="no finite best response"):
        tight.best_response(case.lam)
