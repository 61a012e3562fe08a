"""The control variate and Θ's step divided by σ², on Alg. 1: means, variances and contractions by other routes."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.beyond.control_variate.normalised import per_variance
from reference.beyond.control_variate.updates import BEYOND, ExtendedMethod, extended, inner_step
from reference.bilevel.objective import TrainingObjective
from reference.problems.ridge import Ridge
from reference.rule.hypernet import FullResponse, Response
from reference.rule.perturbation import expectation
from reference.rule.updates import (
    CENTERED_STN,
    DELTA_STN,
    METHODS,
    Method,
    State,
    perturbed_gradient,
    response_input,
)
from tests.reference.rule.test_updates import (
    ALPHA1,
    Drawn,
    Unused,
    check_replicates,
    mean_step,
    paths,
    perturbed_objective,
    points,
    single,
    states,
    theta_gradient,
)
from tests.strategies import EXACT, dense, differences, dropouts, exactly, parameters, problems, quadratics, ridges

with_control_variate = tuple(replace(extended(method), control_variate=True) for method in (CENTERED_STN, DELTA_STN))
control_variates = pytest.mark.parametrize("method", with_control_variate, ids=lambda method: method.name)


@control_variates
@given(states(problems(leads=st.just((5,))), structured=True))
def test_replicates_are_as_if_alone_bit_for_bit(method: Method, drawn: Drawn):
    check_replicates(method, drawn, inner_step)


# The control variate.


def plain_theta_gradient(method: Method, problem: TrainingObjective, state: State, eps: np.ndarray) -> np.ndarray:
    """The gradient of Eqn. 3.10 in Θ at each ε, w0 where it is."""
    c = response_input(method, state.lam, eps)
    g = perturbed_gradient(method, problem, state.lam + eps, state.w0, state.response.apply(c))
    return g[..., :, None] * c[..., None, :]


def control_variate_gradient(method: Method, problem: TrainingObjective, state: State, eps: np.ndarray) -> np.ndarray:
    """What the step with the control variate takes for it, from one batch with one set of masks."""
    after = inner_step(method, state, eps, problem, Unused(), ALPHA1)
    return (dense(state.response) - dense(after.response)) / ALPHA1


def variance(gradients: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Entry by entry, over the quadrature points."""
    centred = gradients - np.tensordot(weights, gradients, 1)
    return np.tensordot(weights, centred**2, 1)


@control_variates
@given(states(problems(single)))
def test_the_control_variate_changes_no_mean(method: Method, drawn: Drawn):
    problem, state = drawn.problem, drawn.state
    moved, Theta_moved, _ = mean_step(method, problem, state, inner_step)
    assert_allclose(moved, *differences(lambda w0: problem.train_loss(state.lam, w0), state.w0))
    objective = perturbed_objective(method, problem, state, state.w0 if method.linearised else None)
    assert_allclose(Theta_moved, *theta_gradient(objective, state.w0, dense(state.response)))


@control_variates
@given(states(quadratics(single)))
def test_for_quadratic_losses_the_control_variate_never_adds_variance(method: Method, drawn: Drawn):
    problem, state = drawn.problem, drawn.state
    eps, weights = points(state.sigma)
    plain, reduced = (
        variance(gradient(method, problem, state, eps), weights)
        for gradient in (plain_theta_gradient, control_variate_gradient)
    )
    # ∇L_T(λ, w0) εᵀ is odd in ε and the rest even: the variances of the two add.
    g0 = problem.grad_w(state.lam, state.w0)
    scale = np.abs(plain).max() + np.abs(dense(state.response)).max() / ALPHA1
    assert_allclose(plain - reduced, *exactly(np.outer(g0**2, state.sigma**2), scale))
    assert (reduced <= plain + EXACT * scale).all()


def test_with_exp_lam_at_sigma_one_the_control_variate_can_add_variance():
    # One row x = 1, t = 3, at w0 = 1, λ = 0, Θ = 0: the plain gradient is (e^ε - 2)ε and g0 = -1. Without g0 it is
    # (e^ε - 1)ε, and the variance larger by σ² g0² - 2 g0 E[(e^ε - 2)ε²] = 1 + 2(2√e - 2) = 4√e - 3.
    one, w0 = np.ones((1, 1)), np.ones(1)
    problem = Ridge(one, 3 * w0, one, w0, divisor=1.0)
    state = State(lam=np.zeros(1), sigma=np.ones(1), w0=w0, response=FullResponse(np.zeros((1, 1))))
    assert_allclose(problem.grad_w(state.lam, state.w0), [-1.0], rtol=EXACT)
    eps, weights = points(state.sigma)
    method = with_control_variate[1]
    plain = variance(plain_theta_gradient(method, problem, state, eps), weights).item()
    added = variance(control_variate_gradient(method, problem, state, eps), weights).item() - plain
    assert_allclose(added, 4 * np.exp(0.5) - 3, rtol=EXACT)
    by_hand = expectation(lambda e: ((np.exp(e[0]) - 2) * e[0]) ** 2, state.sigma) - (np.exp(0.5)) ** 2
    assert_allclose(plain, by_hand, rtol=EXACT)


@control_variates
@given(states(ridges(leads=single) | dropouts(leads=single)))
def test_divided_by_sigma_squared_its_variance_stays_bounded_as_sigma_vanishes(method: Method, drawn: Drawn):
    problem, small = drawn.problem, 1e-3
    state = replace(drawn.state, sigma=np.full(1, small))
    eps, weights = points(state.sigma)
    scaled = variance(control_variate_gradient(method, problem, state, eps) / small**2, weights)[:, 0]
    # Its limit is the variance of (B + AΘ) ε²/σ², which is 2 (B + AΘ)².
    A, B = problem.hess_ww(state.lam, state.w0), problem.hess_wlam(state.lam, state.w0)
    limit = 2 * (B + A @ dense(state.response))[:, 0] ** 2
    # The next term is of relative order σ², times the size of derivatives of higher order, at most e^(2+1) more.
    size = (np.abs(A).max() * np.abs(dense(state.response)).max() + np.abs(B).max() + np.abs(state.w0).max()) ** 2
    assert_allclose(scaled, limit, rtol=1e-3, atol=1e-3 * size)
    plain = variance(plain_theta_gradient(method, problem, state, eps) / small**2, weights)[:, 0]
    g0 = problem.grad_w(state.lam, state.w0)
    assert_allclose(plain * small**2, g0**2, rtol=1e-3, atol=1e-3 * (size + np.abs(g0).max() ** 2))


# Θ's step divided by σ².

divided = st.sampled_from((*map(extended, METHODS[1:]), *with_control_variate)).map(
    lambda method: replace(method, normalised=True)
)


@given(divided, states(problems(), structured=True))
def test_normalised_what_follows_lam_j_takes_a_step_divided_by_its_variance(method: ExtendedMethod, drawn: Drawn):
    case, state = drawn.case, drawn.state
    eps = case.normal(case.lam.shape[-1])
    plain, after = (
        inner_step(replace(method, normalised=n), state, eps, case.problem, case.problem, ALPHA1) for n in (False, True)
    )
    assert_array_equal(after.w0, plain.w0)
    for path, before, undivided, found in zip(
        paths(state.response), *map(parameters, (state.response, plain.response, after.response)), strict=True
    ):
        moved = before - undivided
        if path in ("Theta", "U", "V"):
            moved = np.stack([moved[..., j] / state.sigma[..., None, j] ** 2 for j in range(eps.shape[-1])], axis=-1)
        else:
            # Response weights: each λ_j's part of the gradient is of size σ_j², and they have one step for all.
            common = sum(state.sigma[..., j] ** 2 for j in range(eps.shape[-1])) / eps.shape[-1]
            moved = moved / common.reshape(*common.shape, *[1] * (moved.ndim - common.ndim))
        assert_allclose(before - found, *exactly(moved, before / state.sigma.min() ** 2))


@given(divided, states(problems(), structured=True))
def test_at_sigma_one_normalised_is_not_normalised_bit_for_bit(method: ExtendedMethod, drawn: Drawn):
    case, state = drawn.case, replace(drawn.state, sigma=np.ones_like(drawn.state.sigma))
    eps = case.normal(case.lam.shape[-1])
    plain, after = (
        inner_step(replace(method, normalised=n), state, eps, case.problem, case.problem, ALPHA1) for n in (False, True)
    )
    for found, desired in zip(parameters(after.response), parameters(plain.response), strict=True):
        assert_array_equal(found, desired)


@given(divided, states(quadratics(single)), st.integers(1, 4))
def test_for_quadratic_losses_normalised_means_contract_alike_for_every_sigma(
    method: ExtendedMethod, drawn: Drawn, steps: int
):
    # Theorem 3's mean gradient is (B + AΘ) diag(σ²): divided by σ² it is A(Θ - Θ*), plain gradient descent on a bowl.
    problem, state = drawn.case.problem, drawn.state
    Theta_star, A = problem.best_response_jacobian(state.lam), problem.train.A
    eps, weights = points(state.sigma)
    error = dense(state.response) - Theta_star
    scales = [np.abs(problem.train.B).max(), np.abs(state.w0).max(), np.abs(problem.train.d).max(), Theta_star, error]
    for _ in range(steps):
        after = inner_step(method, state, eps, problem, problem, ALPHA1)
        w0 = np.tensordot(weights, np.broadcast_to(after.w0, (len(eps), *state.w0.shape)), 1)
        state = replace(state, w0=w0, response=FullResponse(np.tensordot(weights, dense(after.response), 1)))
        error = error - ALPHA1 * A @ error
        assert_allclose(dense(state.response) - Theta_star, *exactly(error, *(s / 0.2**2 for s in scales)))


def test_a_response_without_a_rule_is_refused():
    class Other(Response):
        def apply(self, c):
            return c

        def gradient(self, c, g):
            return self

        def adjoint(self, g):
            return g

    with pytest.raises(TypeError, match="no rule divides a Other's gradient"):
        per_variance(Other(), np.ones(1))


# The switches.


def test_what_is_beyond_the_paper_is_delta_stn_with_more():
    table = {method.slug: (method.control_variate, method.normalised) for method in BEYOND}
    assert table == {
        "delta-stn-cv": (True, False),
        "delta-stn-normalised": (False, True),
        "delta-stn-cv-normalised": (True, True),
    }
    for method in BEYOND:
        assert replace(method, name=DELTA_STN.name, control_variate=False, normalised=False) == extended(DELTA_STN)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@given(states(problems(), structured=True))
def test_with_both_switches_off_the_step_is_the_papers_bit_for_bit(method: Method, drawn: Drawn):
    problem, state = drawn.problem, drawn.state
    eps = drawn.case.normal(state.lam.shape[-1])
    ours, theirs = (inner_step(m, state, eps, problem, problem, ALPHA1) for m in (extended(method), method))
    assert_array_equal(ours.w0, theirs.w0)
    for actual, desired in zip(parameters(ours.response), parameters(theirs.response), strict=True):
        assert_array_equal(actual, desired)


@pytest.mark.parametrize("switches", list(product([False, True], repeat=5)))
def test_only_switches_that_go_together_are_accepted(switches: tuple[bool, bool, bool, bool, bool]):
    centred, unperturbed, linearised, control_variate, normalised = switches
    # The control variate is the gradient of Eqn. 3.9; the columns' curvatures are σ_j² in the centred form only (3.5).
    allowed = centred or not (unperturbed or linearised or normalised)
    if allowed and (unperturbed or not control_variate):
        assert ExtendedMethod("any", *switches).centred == centred
    else:
        with pytest.raises(ValueError, match=r"needs `unperturbed`|needs `centred`|without `centred`"):
            ExtendedMethod("any", *switches)
