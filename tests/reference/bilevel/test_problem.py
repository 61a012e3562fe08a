"""Eqns. 1.1 and 2.2-2.4 for every problem: derivatives against differences, best responses against their definition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reference.bilevel.optimum import Optimum
from reference.bilevel.problem import Problem
from reference.bilevel.transforms import Exp
from tests.strategies import (
    EXACT,
    Case,
    differences,
    dropouts,
    exactly,
    linear_networks,
    logistics,
    many,
    problems,
    quadratics,
    ridges,
)

OF_LAM = (
    "best_response",
    "best_response_jacobian",
    "best_output",
    "best_output_jacobian",
    "hypergradient",
    "outer_loss",
)
OF_LAM_AND_W = (
    "train_loss",
    "grad_w",
    "gauss_newton",
    "hess_ww",
    "hess_wlam",
    "valid_loss",
    "valid_grad_w",
    "valid_grad_lam",
)
OF_LAM_AND_V = ("train_loss_v", "train_grad_v", "train_hess_vv", "train_hess_vlam", "valid_loss_v", "valid_grad_v")


@given(problems())
def test_grad_w_is_the_slope_of_the_training_loss(case: Case[Problem]):
    problem, lam, w = case.problem, case.lam, case.w
    assert_allclose(problem.grad_w(lam, w), *differences(lambda w: problem.train_loss(lam, w), w))


@given(problems())
def test_valid_grad_w_is_the_slope_of_the_validation_loss(case: Case[Problem]):
    problem, lam, w = case.problem, case.lam, case.w
    assert_allclose(problem.valid_grad_w(lam, w), *differences(lambda w: problem.valid_loss(lam, w), w))


@given(problems())
def test_the_direct_gradient_is_the_slope_of_the_validation_loss_in_lam(case: Case[Problem]):
    problem, lam, w = case.problem, case.lam, case.w
    assert_allclose(problem.valid_grad_lam(lam, w), *differences(lambda lam: problem.valid_loss(lam, w), lam))


@given(problems())
def test_hess_ww_is_the_slope_of_grad_w_at_any_w(case: Case[Problem]):
    problem, lam, w = case.problem, case.lam, case.w
    desired = differences(lambda w: problem.grad_w(lam, w), w)
    assert_allclose(np.broadcast_to(problem.hess_ww(lam, w), desired.value.shape), *desired)


@given(problems())
def test_hess_wlam_is_the_slope_of_grad_w_in_lam(case: Case[Problem]):
    problem, lam, w = case.problem, case.lam, case.w
    desired = differences(lambda lam: problem.grad_w(lam, w), lam)
    assert_allclose(np.broadcast_to(problem.hess_wlam(lam, w), desired.value.shape), *desired)


@given(problems())
def test_products_with_second_derivatives_are_those_of_the_matrices(case: Case[Problem]):
    problem, lam, w, v = case.problem, case.lam, case.w, case.problem.f(case.w)
    dw, dv = case.normal(w.shape[-1]), case.normal(v.shape[-1])
    H, B, H_v = problem.hess_ww(lam, w), problem.hess_wlam(lam, w), problem.train_hess_vv(lam, v)
    size = np.abs(H).max() * np.abs(dw).max()
    assert_allclose(problem.hess_vec(lam, w, dw), *exactly((H @ dw[..., None])[..., 0], size))
    assert_allclose(problem.cross_vec(lam, w, dw), *exactly((B.mT @ dw[..., None])[..., 0], B))
    assert_allclose(problem.train_hess_vec(lam, v, dv), *exactly((H_v @ dv[..., None])[..., 0], H_v))


@given(problems())
def test_the_derivatives_in_the_outputs_are_slopes(case: Case[Problem]):
    problem, lam = case.problem, case.lam
    v = problem.f(case.w)
    assert_allclose(problem.train_grad_v(lam, v), *differences(lambda v: problem.train_loss_v(lam, v), v))
    assert_allclose(problem.valid_grad_v(lam, v), *differences(lambda v: problem.valid_loss_v(lam, v), v))
    for hessian, gradient in (
        (problem.train_hess_vv, problem.train_grad_v),
        (problem.valid_hess_vv, problem.valid_grad_v),
    ):
        desired = differences(lambda v, gradient=gradient: gradient(lam, v), v)
        assert_allclose(np.broadcast_to(hessian(lam, v), desired.value.shape), *desired)


@given(problems())
def test_eqn_3_2_the_gauss_newton_matrix_is_that_of_the_linearised_network(case: Case[Problem]):
    problem, lam, w = case.problem, case.lam, case.w
    v, J = problem.f(w), differences(problem.f, w).value

    def linearised_gradient(dw):
        return np.vecmat(problem.train_grad_v(lam, v + np.matvec(J, dw)), J)

    desired = differences(linearised_gradient, np.zeros_like(w))
    assert_allclose(np.broadcast_to(problem.gauss_newton(lam, w), desired.value.shape), *desired)


@given(problems())
def test_the_training_loss_has_no_slope_at_the_best_response(case: Case[Problem]):
    problem, lam = case.problem, case.lam
    r = problem.best_response(lam)
    # What cancels there is the Hessian times r.
    terms = np.abs(problem.hess_ww(lam, r)).max() * np.abs(r).max()
    assert_allclose(problem.grad_w(lam, r), *exactly(np.zeros_like(r), terms))


@given(problems())
def test_no_other_weights_have_a_lower_training_loss_than_the_best_response(case: Case[Problem]):
    problem, lam = case.problem, case.lam
    r = problem.best_response(lam)
    least = problem.train_loss(lam, r)
    for size in (1e-3, 0.1, 1.0):
        elsewhere = problem.train_loss(lam, r + size * case.normal(r.shape[-1]))
        assert (elsewhere >= least - EXACT * np.abs(least)).all()


@given(problems())
def test_eqn_2_3_holds_its_residual_is_zero(case: Case[Problem]):
    problem, lam = case.problem, case.lam
    r = problem.best_response(lam)
    A = problem.hess_ww(lam, r)
    A_Theta, B = A @ problem.best_response_jacobian(lam), problem.hess_wlam(lam, r)
    assert_allclose(A_Theta + B, *exactly(np.zeros_like(A_Theta), A_Theta, B, np.abs(A) @ np.abs(r)[..., None]))


@given(problems())
def test_the_jacobian_of_the_outputs_is_the_slope_of_the_best_outputs(case: Case[Problem]):
    problem, lam = case.problem, case.lam
    assert_allclose(problem.best_output_jacobian(lam), *differences(problem.best_output, lam))
    assert_allclose(problem.best_output(lam), problem.f(problem.best_response(lam)), rtol=EXACT)


@given(ridges() | dropouts() | quadratics() | many() | logistics())
def test_the_best_response_jacobian_is_the_slope_of_the_best_response(case: Case[Problem]):
    # Not for linear networks: theirs is the slope of another branch, one of least norm.
    desired = differences(case.problem.best_response, case.lam)
    assert_allclose(case.problem.best_response_jacobian(case.lam), *desired)


@given(problems())
def test_weights_that_follow_the_best_response_jacobian_give_the_best_outputs(case: Case[Problem]):
    problem, lam, direction = case.problem, case.lam, case.normal(case.lam.shape[-1])
    r, dw = problem.best_response(lam), np.matvec(problem.best_response_jacobian(lam), direction)
    followed = differences(lambda t: problem.f(r + t * dw), np.zeros(1))
    assert_allclose(followed.value, *differences(lambda t: problem.best_output(lam + t * direction), np.zeros(1)))


@given(problems())
def test_eqn_2_4_the_hypergradient_is_the_slope_of_the_outer_loss(case: Case[Problem]):
    problem, lam = case.problem, case.lam
    assert_allclose(problem.hypergradient(lam), *differences(problem.outer_loss, lam))


@given(problems())
def test_eqn_2_2_the_outer_loss_is_the_validation_loss_at_the_best_response(case: Case[Problem]):
    for index, problem, lam, _ in case.replicates():
        desired = problem.valid_loss(lam, problem.best_response(lam))
        assert_allclose(np.asarray(case.problem.outer_loss(case.lam))[index], *exactly(desired))


@given(problems())
def test_leading_axes_equal_a_loop(case: Case[Problem]):
    problem, lam, w = case.problem, case.lam, case.w
    v = problem.f(w)
    for index, item, one_lam, one_w in case.replicates():
        for name in OF_LAM:
            desired = getattr(item, name)(one_lam)
            assert_allclose(getattr(problem, name)(lam)[index], *exactly(desired), err_msg=name)
        for names, point, one_point in ((OF_LAM_AND_W, w, one_w), (OF_LAM_AND_V, v, v[index])):
            for name in names:
                desired = getattr(item, name)(one_lam, one_point)
                actual = getattr(problem, name)(lam, point)
                full = np.broadcast_to(actual, (*case.lead, *np.shape(desired)))
                assert_allclose(full[index], *exactly(desired), err_msg=name)


@given(ridges() | dropouts() | linear_networks() | many())
def test_one_lam_serves_all_replicates_of_the_data(case: Case[Problem]):
    lam = case.lam[(0,) * len(case.lead)]
    everywhere = np.broadcast_to(lam, case.lam.shape)
    for name in OF_LAM:
        desired = getattr(case.problem, name)(everywhere)
        actual = np.broadcast_to(getattr(case.problem, name)(lam), desired.shape)
        assert_allclose(actual, *exactly(desired), err_msg=name)


@given(problems())
def test_regret_is_the_ratio_of_outer_losses_less_one(case: Case[Problem]):
    problem, lam, lam_star = case.problem, case.lam, case.lam + case.rng.uniform(size=case.lam.shape)
    loss_star = np.asarray(problem.outer_loss(lam_star))
    optimum = Optimum(lam_star, loss_star, np.full(case.lead, "given"), rounding=np.asarray(1e-14 * np.abs(loss_star)))
    ratio = problem.outer_loss(lam) / loss_star
    assert_allclose(problem.regret(lam, optimum), *exactly(ratio - 1, ratio))
    assert_allclose(problem.regret(lam_star, optimum), 0.0, atol=EXACT)


@given(ridges(s=st.just(Exp())) | dropouts() | linear_networks())
def test_regret_is_nowhere_negative(case: Case[Problem]):
    optimum = case.problem.optimum()
    assert (case.problem.outer_loss(case.lam) >= optimum.loss_star - EXACT * optimum.loss_star.max()).all()
