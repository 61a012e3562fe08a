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
from reference.rule.hypernet import FullResponse, Response
from reference.rule.updates import (
    CENTERED_STN,
    DELTA_STN,
    METHODS,
    Method,
)
from tests.reference.rule.test_updates import (
    ALPHA1,
    Drawn,
    check_replicates,
    mean_step,
    paths,
    perturbed_objective,
    points,
    single,
    states,
    theta_gradient,
)
from tests.strategies import dense, differences, exactly, parameters, problems, quadratics

with_control_variate = tuple(replace(extended(method), control_variate=True) for method in (CENTERED_STN, DELTA_STN))
control_variates = pytest.mark.parametrize("method", with_control_variate, ids=lambda method: method.name)


@control_variates
@given(states(problems(leads=st.just((5,))), structured=True))
def test_replicates_are_as_if_alone_bit_for_bit(method: Method, drawn: Drawn):
    check_replicates(method, drawn, inner_step)


# The control variate.


@control_variates
@given(states(problems(single)))
def test_the_control_variate_changes_no_mean(method: Method, drawn: Drawn):
    problem, state = drawn.problem, drawn.state
    moved, Theta_moved, _ = mean_step(method, problem, state, inner_step)
    assert_allclose(moved, *differences(lambda w0: problem.train_loss(state.lam, w0), state.w0))
    objective = perturbed_objective(method, problem, state, state.w0 if method.linearised else None)
    assert_allclose(Theta_moved, *theta_gradient(objective, state.w0, dense(state.response)))


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
    for path, before, undivided, measured in zip(
        paths(state.response), *map(parameters, (state.response, plain.response, after.response)), strict=True
    ):
        moved = before - undivided
        if path in ("Theta", "U", "V"):
            moved = np.stack([moved[..., j] / state.sigma[..., None, j] ** 2 for j in range(eps.shape[-1])], axis=-1)
        else:
            # Response weights: each λ_j's part of the gradient is of size σ_j², and they have one step for all.
            common = sum(state.sigma[..., j] ** 2 for j in range(eps.shape[-1])) / eps.shape[-1]
            moved = moved / common.reshape(*common.shape, *[1] * (moved.ndim - common.ndim))
        assert_allclose(before - measured, *exactly(moved, before / state.sigma.min() ** 2))


@given(divided, states(problems(), structured=True))
def test_at_sigma_one_normalised_is_not_normalised_bit_for_bit(method: ExtendedMethod, drawn: Drawn):
    case, state = drawn.case, replace(drawn.state, sigma=np.ones_like(drawn.state.sigma))
    eps = case.normal(case.lam.shape[-1])
    plain, after = (
        inner_step(replace(method, normalised=n), state, eps, case.problem, case.problem, ALPHA1) for n in (False, True)
    )
    for measured, desired in zip(parameters(after.response), parameters(plain.response), strict=True):
        assert_array_equal(measured, desired)


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
