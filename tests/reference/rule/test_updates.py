"""Algorithms 1 and 2: every expected step against differences of the objective that the paper says it descends."""

from collections.abc import Callable
from dataclasses import fields, replace
from itertools import product
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from reference.bilevel.objective import TrainingObjective
from reference.bilevel.problem import Problem
from reference.problems.dropout import InputDropout
from reference.problems.linear_network import LinearNetwork
from reference.problems.ridge import Ridge
from reference.rule.hypernet import FullResponse, Response
from reference.rule.perturbation import quadrature
from reference.rule.structured import LayeredResponse
from reference.rule.updates import (
    CENTERED_STN,
    DELTA_STN,
    METHODS,
    REPARAM_STN,
    STN,
    Method,
    State,
    inner_step,
    learned_hypergradient,
    outer_gradients,
)
from tests.strategies import (
    Case,
    chain_rule,
    dense,
    differences,
    dropouts,
    exactly,
    full_response,
    linear_networks,
    normal,
    parameters,
    problems,
    quadratics,
    read_only,
    responses,
    ridges,
    with_parameters,
)

ALPHA1 = 0.01
"""Small enough that one step on the worst case, with a curvature of 100, does not throw w0 far away."""

single = st.just(())
all_methods = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
two_step_methods = pytest.mark.parametrize("method", [CENTERED_STN, DELTA_STN], ids=lambda method: method.name)


class Drawn(NamedTuple):
    """A case and the state of an algorithm somewhere on it."""

    case: Case
    state: State

    @property
    def problem(self) -> Problem:
        return self.case.problem


@st.composite
def states(draw: st.DrawFn, cases: st.SearchStrategy[Case], structured: bool = False) -> Drawn:
    """A state with a random response, full or of any kind, and scales σ between 0.2 and 1."""
    case = draw(cases)
    m, h = case.w.shape[-1], case.lam.shape[-1]
    response = draw(responses(case.rng, case.lead, m, h)) if structured else full_response(case.rng, case.lead, m, h)
    sigma = read_only(case.rng.uniform(0.2, 1.0, size=(*case.lead, h)))
    return Drawn(case, State(case.lam, sigma, case.w, response))


def points(sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quadrature for ε: exact for exp(λ + ε) with h = 1, and for the quadratics with h up to 3."""
    return quadrature(sigma, nodes=40 if len(sigma) == 1 else 4)


def multiplies(method: Method, lam: np.ndarray, eps: np.ndarray) -> np.ndarray:
    """What Θ multiplies: λ - λ0 = ε in Eqn. 3.1, the whole λ + ε in Eqn. 2.6."""
    return eps if method.name in ("Reparam STN", "Centered STN", "Δ-STN") else lam + eps


def perturbed_objective(
    method: Method, problem: TrainingObjective, state: State, w0_linearised: np.ndarray | None = None
) -> Callable[[np.ndarray, np.ndarray], Any]:
    """Eqn. 2.5 (3.10) as a function of (w0, Θ): E_ε of L_T at λ + ε, on the network or, as in 3.13, on its tangent."""
    eps, weights = points(state.sigma)
    J = None if w0_linearised is None else differences(problem.f, w0_linearised).value

    def objective(w0, Theta):
        dw = multiplies(method, state.lam, eps) @ Theta.T
        if J is None:
            return weights @ problem.train_loss(state.lam + eps, w0 + dw)
        return weights @ problem.train_loss_v(state.lam + eps, problem.f(w0) + dw @ J.T)

    return objective


def theta_gradient(objective: Callable[[np.ndarray, np.ndarray], Any], w0: np.ndarray, Theta: np.ndarray):
    """∂objective/∂Θ by differences, with Θ flattened."""
    return differences(lambda flat: objective(w0, flat.reshape(Theta.shape)), Theta.reshape(-1))


def mean_step(
    method: Method, problem: TrainingObjective, state: State, inner_step: Callable[..., State] = inner_step
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E_ε of (w0 before - after)/α and (Θ before - after)/α, and w0 after the step where it does not depend on ε."""
    eps, weights = points(state.sigma)
    after = inner_step(method, state, eps, problem, problem, ALPHA1)
    w0_after = np.broadcast_to(after.w0, (len(eps), *state.w0.shape))
    moved = (state.w0 - weights @ w0_after) / ALPHA1
    Theta_moved = (dense(state.response) - np.tensordot(weights, dense(after.response), 1)) / ALPHA1
    return moved, Theta_moved.reshape(-1), w0_after[0]


# The four methods' objectives.


@all_methods
@given(states(problems(single)))
def test_the_mean_step_on_theta_descends_the_perturbed_objective(method: Method, drawn: Drawn):
    problem, state = drawn.problem, drawn.state
    _, Theta_moved, w0_after = mean_step(method, problem, state)
    w0 = w0_after if method.name in ("Centered STN", "Δ-STN") else state.w0  # Alg. 1: w0 has moved already
    objective = perturbed_objective(method, problem, state, w0 if method.name == "Δ-STN" else None)
    assert_allclose(Theta_moved, *theta_gradient(objective, w0, dense(state.response)))


@pytest.mark.parametrize("method", [STN, REPARAM_STN], ids=lambda method: method.name)
@given(states(problems(single)))
def test_the_mean_step_on_w0_descends_eqn_2_5(method: Method, drawn: Drawn):
    problem, state = drawn.problem, drawn.state
    moved, _, _ = mean_step(method, problem, state)
    objective = perturbed_objective(method, problem, state)
    assert_allclose(moved, *differences(lambda w0: objective(w0, dense(state.response)), state.w0))


@two_step_methods
@given(states(problems(single)))
def test_the_step_on_w0_descends_eqn_3_9_whatever_epsilon(method: Method, drawn: Drawn):
    problem, state = drawn.problem, drawn.state
    eps, _ = points(state.sigma)
    after = inner_step(method, state, eps, problem, problem, ALPHA1)
    desired = differences(lambda w0: problem.train_loss(state.lam, w0), state.w0)
    assert after.w0.shape == state.w0.shape
    assert_allclose((state.w0 - after.w0) / ALPHA1, *desired)


@all_methods
@given(states(dropouts(single, n=st.integers(1, 3), m=st.integers(1, 2))))
def test_the_mean_over_all_masks_is_the_step_on_the_expected_loss(method: Method, drawn: Drawn):
    case, state = drawn.case, drawn.state
    problem: InputDropout = case.problem
    b, m = problem.X.shape
    kept = np.array(list(product([0.0, 1.0], repeat=b * m))).reshape(-1, b, m)
    eps = state.sigma * case.normal(1)
    p = 1 / (1 + np.exp(-(state.lam + eps)))  # the masks of the perturbed step are drawn at λ + ε
    weights = np.prod(np.where(kept == 1.0, 1 - p, p), axis=(-2, -1))
    masked = inner_step(method, state, eps, problem, problem.masked(np.arange(b), kept), ALPHA1)
    expected = inner_step(method, state, eps, problem, problem, ALPHA1)
    w0 = weights @ np.broadcast_to(masked.w0, (len(kept), m))
    assert_allclose(w0, *exactly(expected.w0, masked.w0))
    Theta = np.tensordot(weights, dense(masked.response), 1)
    assert_allclose(Theta, *exactly(dense(expected.response), dense(masked.response)))


def paths(response: Response) -> list[str]:
    """The names of `parameters`, in their order."""
    if isinstance(response, LayeredResponse):
        return [name for layer in response.layers for name in paths(layer)]
    return [field.name for field in fields(cast(Any, response))]


class Unused(TrainingObjective):
    """A training loss that nobody may ask."""

    def train_loss_v(self, lam, v):
        raise AssertionError("asked")

    def train_grad_v(self, lam, v):
        raise AssertionError("asked")


@pytest.mark.parametrize("method", [STN, REPARAM_STN], ids=lambda method: method.name)
@given(states(problems()))
def test_algorithm_2_sees_the_perturbed_batch_only(method: Method, drawn: Drawn):
    case, state = drawn.case, drawn.state
    eps = state.sigma * case.normal(case.lam.shape[-1])
    after = inner_step(method, state, eps, Unused(), case.problem, ALPHA1)
    w = state.w0 + state.response.apply(multiplies(method, state.lam, eps))
    g = case.problem.grad_w(state.lam + eps, w)
    assert_allclose(after.w0, *exactly(state.w0 - ALPHA1 * g, state.w0))


@two_step_methods
@given(states(ridges(n=st.integers(2, 6), leads=single) | linear_networks(leads=single)))
def test_w0_moves_first_on_its_own_batch_and_theta_then_at_the_new_w0(method: Method, drawn: Drawn):
    state = drawn.state
    problem: Ridge = drawn.case.problem
    first, second = problem.rows(np.array([0])), problem.rows(np.array([problem.n - 1]))
    eps = state.sigma * drawn.case.normal(1)
    after = inner_step(method, state, eps, first, second, ALPHA1)
    w0 = state.w0 - ALPHA1 * first.grad_w(state.lam, state.w0)
    assert_allclose(after.w0, *exactly(w0, state.w0))
    if method.linearised:
        J = problem.f.jacobian(w0)
        g = J.T @ second.train_grad_v(state.lam + eps, problem.f(w0) + J @ dense(state.response) @ eps)
    else:
        g = second.grad_w(state.lam + eps, w0 + dense(state.response) @ eps)
    Theta = dense(state.response) - ALPHA1 * np.outer(g, eps)
    assert_allclose(dense(after.response), *exactly(Theta, dense(state.response)))


@all_methods
@given(states(problems(), structured=True))
def test_a_step_leaves_lam_and_sigma_alone(method: Method, drawn: Drawn):
    case, state = drawn.case, drawn.state
    after = inner_step(method, state, case.normal(case.lam.shape[-1]), case.problem, case.problem, ALPHA1)
    assert_array_equal(after.lam, state.lam)
    assert_array_equal(after.sigma, state.sigma)


# Relations between the methods.


@given(states(ridges() | dropouts() | quadratics(), structured=True))
def test_on_a_linear_model_linearised_is_centred_bit_for_bit(drawn: Drawn):
    case, state = drawn.case, drawn.state
    eps = case.normal(case.lam.shape[-1])
    centred, linearised = (
        inner_step(method, state, eps, case.problem, case.problem, ALPHA1) for method in (CENTERED_STN, DELTA_STN)
    )
    assert_array_equal(linearised.w0, centred.w0)
    for actual, desired in zip(parameters(linearised.response), parameters(centred.response), strict=True):
        assert_array_equal(actual, desired)


@given(states(problems(), structured=True))
def test_at_lam_zero_stn_is_reparam_stn_bit_for_bit(drawn: Drawn):
    case, state = drawn.case, replace(drawn.state, lam=np.zeros_like(drawn.state.lam))
    eps = case.normal(case.lam.shape[-1])
    stn, reparam = (inner_step(method, state, eps, case.problem, case.problem, ALPHA1) for method in (STN, REPARAM_STN))
    assert_array_equal(stn.w0, reparam.w0)
    for actual, desired in zip(parameters(stn.response), parameters(reparam.response), strict=True):
        assert_array_equal(actual, desired)
    for actual, desired in zip(
        *(outer_gradients(method, state, eps, case.problem, tau=0.1) for method in (STN, REPARAM_STN)), strict=True
    ):
        assert_array_equal(actual, desired)


@given(states(problems()))
def test_eqn_3_6_the_uncentred_step_on_phi_credits_lam_with_the_gradient(drawn: Drawn):
    # The same map in both forms (φ0 = w0 - Θλ) takes the same step on the offset; Φ's has -α g λᵀ besides.
    case, state = drawn.case, drawn.state
    Theta, eps = dense(state.response), case.normal(case.lam.shape[-1])
    uncentred = replace(state, w0=state.w0 - (Theta @ state.lam[..., None])[..., 0])
    after = inner_step(REPARAM_STN, state, eps, case.problem, case.problem, ALPHA1)
    after_uncentred = inner_step(STN, uncentred, eps, case.problem, case.problem, ALPHA1)
    g = (state.w0 - after.w0) / ALPHA1
    assert_allclose((uncentred.w0 - after_uncentred.w0) / ALPHA1, *exactly(g, state.w0 / ALPHA1, Theta / ALPHA1))
    extra = -ALPHA1 * g[..., :, None] * state.lam[..., None, :]
    difference = dense(after_uncentred.response) - dense(after.response)
    assert_allclose(difference, *exactly(extra, dense(after.response), Theta, state.w0))


@given(states(quadratics(single)))
def test_theorem_3_the_mean_step_on_theta_vanishes_at_the_best_response_jacobian_for_any_w0(drawn: Drawn):
    problem, state = drawn.problem, drawn.state
    Theta = problem.best_response_jacobian(state.lam)
    for method in (REPARAM_STN, CENTERED_STN, DELTA_STN):
        _, moved, _ = mean_step(method, problem, replace(state, response=FullResponse(Theta)))
        # What cancels: the gradient at every ε, |ε| < 3 in each coordinate, times ε; and Θ itself divided by α.
        terms = np.abs(problem.hess_wlam(state.lam, state.w0)).max() + np.abs(problem.grad_w(state.lam, state.w0)).max()
        assert_allclose(moved, *exactly(np.zeros_like(moved), 10 * terms, Theta / ALPHA1))


# Equation 3.13 by a loop.


def naive_outputs(w: np.ndarray, depth: int, width: int) -> np.ndarray:
    """v = W_{d+1} W_d ··· W_1, one hidden layer after the other."""
    v = w[depth * width**2 :]
    for k in reversed(range(depth)):
        v = v @ w[k * width**2 : (k + 1) * width**2].reshape(width, width)
    return v


def naive_delta_step(problem: LinearNetwork, lam: float, w0: np.ndarray, Theta: np.ndarray, eps: float):
    """Alg. 1's two lines, weight by weight, with Eqn. 3.13 for the predictions and for the input Jacobian."""
    depth, width, n = problem.depth, problem.X.shape[1], len(problem.X)

    def outputs(w):  # v, and ∂v/∂w_j: v is of degree one in every weight, so a difference over a unit is exact
        v = naive_outputs(w, depth, width)
        return v, [naive_outputs(w + e, depth, width) - v for e in np.eye(len(w))]

    def gradient(lam, v, slopes):  # of Eqn. H.4 in each w_j, at outputs v
        penalty = np.exp(lam) / problem.divisor
        residuals = [x @ v - t for x, t in zip(problem.X, problem.t, strict=True)]
        return np.array(
            [
                sum(r * (x @ dv) for r, x in zip(residuals, problem.X, strict=True)) / n + penalty * v @ dv
                for dv in slopes
            ]
        )

    v, slopes = outputs(w0)
    w0 = w0 - ALPHA1 * gradient(lam, v, slopes)
    v, slopes = outputs(w0)
    linearised = v + sum(dv * theta * eps for dv, theta in zip(slopes, Theta, strict=True))
    return w0, Theta - ALPHA1 * gradient(lam + eps, linearised, slopes) * eps


@given(states(linear_networks(leads=single)), st.integers(1, 4))
def test_delta_stn_on_the_linear_network_is_eqn_3_13_weight_by_weight(drawn: Drawn, steps: int):
    problem, state = drawn.case.problem, drawn.state
    w0, Theta = state.w0, dense(state.response)[:, 0]
    for eps in 0.5 * normal(drawn.case.rng, steps):
        state = inner_step(DELTA_STN, state, np.array([eps]), problem, problem, ALPHA1)
        w0, Theta = naive_delta_step(problem, state.lam[0], w0, Theta, eps)
    assert_allclose(state.w0, *exactly(w0))
    assert_allclose(dense(state.response)[:, 0], *exactly(Theta))


# Structured responses.


@all_methods
@given(states(problems(single), structured=True))
def test_a_structured_step_is_the_full_gradient_by_the_chain_rule(method: Method, drawn: Drawn):
    problem, state = drawn.problem, drawn.state
    eps, Theta = state.sigma * drawn.case.normal(len(state.lam)), dense(state.response)
    full = inner_step(method, replace(state, response=FullResponse(Theta)), eps, problem, problem, ALPHA1)
    after = inner_step(method, state, eps, problem, problem, ALPHA1)
    assert_allclose(after.w0, *exactly(full.w0))
    G = (Theta - dense(full.response)) / ALPHA1
    desired = chain_rule(state.response, G)
    largest = max(np.abs(array).max() for array in parameters(state.response))
    for actual, before, gradient in zip(parameters(after.response), parameters(state.response), desired, strict=True):
        assert_allclose((before - actual) / ALPHA1, *exactly(gradient, largest * G, before / ALPHA1, Theta / ALPHA1))


# Replicates.


@all_methods
@given(states(problems(leads=st.just((5,))), structured=True))
def test_replicates_are_as_if_alone_bit_for_bit(method: Method, drawn: Drawn):
    check_replicates(method, drawn)


def check_replicates(method: Method, drawn: Drawn, inner_step: Callable[..., State] = inner_step) -> None:
    """A step, and the outer gradients, of many replicates against each by itself."""
    case, state = drawn.case, drawn.state
    eps = case.normal(case.lam.shape[-1])
    after = inner_step(method, state, eps, case.problem, case.problem, ALPHA1)
    outer = outer_gradients(method, state, eps, case.problem, tau=0.1)
    for index, problem, lam, w0 in case.replicates():
        own = with_parameters(state.response, [array[index] for array in parameters(state.response)])
        alone = State(lam, state.sigma[index], w0, own)
        alone_after = inner_step(method, alone, eps[index], problem, problem, ALPHA1)
        assert_array_equal(after.w0[index], alone_after.w0)
        for actual, desired in zip(parameters(after.response), parameters(alone_after.response), strict=True):
            assert_array_equal(actual[index], desired)
        for actual, desired in zip(outer, outer_gradients(method, alone, eps[index], problem, tau=0.1), strict=True):
            assert_array_equal(actual[index], desired)


# The outer problem.


def outer_objective(method: Method, problem: Problem, state: State, lam: np.ndarray, sigma: np.ndarray, tau: float):
    """Eqn. 2.7: E_ε L_V(λ + ε, r(λ + ε)) - τ H[N(0, diag(σ²))], the response's own λ0 held where it is."""
    z, weights = points(np.ones_like(sigma))
    eps = sigma * z
    lam0 = state.lam if method.centred else np.zeros_like(lam)
    w = state.w0 + (lam + eps - lam0) @ dense(state.response).T
    return weights @ problem.valid_loss(lam + eps, w) - tau * norm.entropy(scale=sigma).sum()


@all_methods
@given(states(problems(single), structured=True), st.floats(0.0, 1.0))
def test_the_mean_outer_gradients_are_slopes_of_eqn_2_7(method: Method, drawn: Drawn, tau: float):
    problem, state = drawn.problem, drawn.state
    eps, weights = points(state.sigma)
    g_lam, g_sigma = outer_gradients(method, state, eps, problem, tau)
    desired_lam = differences(lambda x: outer_objective(method, problem, state, x, state.sigma, tau), state.lam)
    desired_sigma = differences(lambda x: outer_objective(method, problem, state, state.lam, x, tau), state.sigma)
    assert_allclose(weights @ g_lam, *desired_lam)
    assert_allclose(weights @ g_sigma, *desired_sigma)


@all_methods
@given(states(problems()))
def test_the_exact_response_gives_the_exact_hypergradient(method: Method, drawn: Drawn):
    problem, lam = drawn.problem, drawn.state.lam
    r, Theta = problem.best_response(lam), problem.best_response_jacobian(lam)
    m, h = drawn.state.w0.shape[-1], lam.shape[-1]
    Theta = np.broadcast_to(Theta, (*drawn.case.lead, m, h))
    w0 = r if method.centred else r - (Theta @ lam[..., None])[..., 0]
    state = replace(drawn.state, w0=w0, response=FullResponse(Theta))
    assert_allclose(state.weights(method), *exactly(r, w0))
    terms = np.abs(problem.valid_grad_w(lam, r)).max() * np.abs(Theta).max()
    conditioning = np.abs(problem.valid_hess_vv(lam, problem.f(r))).max() * np.abs(w0).max() * np.abs(Theta).max()
    actual = learned_hypergradient(method, state, problem)
    assert_allclose(actual, *exactly(problem.hypergradient(lam), terms, conditioning))


@all_methods
@given(states(st.one_of(ridges(single), dropouts(single), quadratics(single))))
def test_where_the_validation_loss_is_quadratic_in_lam_and_w_a_drawn_epsilon_changes_no_mean(
    method: Method, drawn: Drawn
):
    eps, weights = points(drawn.state.sigma)
    g_lam, _ = outer_gradients(method, drawn.state, eps, drawn.problem)
    desired = learned_hypergradient(method, drawn.state, drawn.problem)
    assert_allclose(weights @ g_lam, *exactly(desired, np.abs(g_lam)))


@all_methods
@given(states(st.one_of(ridges(single), dropouts(single))))
def test_the_noise_of_a_drawn_epsilon_is_theta_h_theta_epsilon(method: Method, drawn: Drawn):
    problem, state = drawn.problem, drawn.state
    eps, weights = points(state.sigma)
    g_lam, _ = outer_gradients(method, state, eps, problem)
    fitted = cast(Any, problem).X_valid @ dense(state.response)
    variance = (fitted.T @ fitted / len(fitted)) ** 2 * state.sigma**2  # (Θᵀ H_V Θ)² σ², h = 1
    noise = g_lam - learned_hypergradient(method, state, problem)
    assert_allclose(weights @ noise**2, *exactly(variance[0], np.abs(g_lam) ** 2))


def test_on_the_linear_network_a_drawn_epsilon_has_a_bias_as_well():
    rng = np.random.default_rng(0)
    problem = LinearNetwork(*(rng.normal(size=shape) for shape in ((9, 2), 9, (9, 2), 9)), divisor=9.0, depth=2)
    w0, Theta = np.append(np.tile(np.eye(2).ravel(), 2), [1.0, -1.0]), 0.5 * rng.normal(size=(10, 1))
    state = State(np.zeros(1), np.ones(1), w0, FullResponse(Theta))
    eps, weights = points(state.sigma)
    mean = weights @ outer_gradients(DELTA_STN, state, eps, problem)[0]
    zero = learned_hypergradient(DELTA_STN, state, problem)
    assert np.abs(mean - zero) > 0.1 * np.abs(zero)


@all_methods
@given(states(problems()), st.floats(0.0, 1.0))
def test_at_epsilon_zero_nothing_is_learned_of_sigma_but_the_entropys_gradient(
    method: Method, drawn: Drawn, tau: float
):
    _, g_sigma = outer_gradients(method, drawn.state, np.zeros_like(drawn.state.lam), drawn.problem, tau)
    assert_array_equal(g_sigma, -tau / drawn.state.sigma)


# The switches.


def test_the_methods_are_the_table_of_section_3():
    table = {method.name: (method.centred, method.unperturbed, method.linearised) for method in METHODS}
    assert table == {
        "STN": (False, False, False),
        "Reparam STN": (True, False, False),
        "Centered STN": (True, True, False),
        "Δ-STN": (True, True, True),
    }
    assert [method.slug for method in METHODS] == ["stn", "reparam-stn", "centered-stn", "delta-stn"]


@pytest.mark.parametrize("switches", list(product([False, True], repeat=3)))
def test_only_switches_that_go_together_are_accepted(switches: tuple[bool, bool, bool]):
    centred, unperturbed, linearised = switches
    # Eqns. 3.9 and 3.13 are about the current weights, which w0 is in the centred form only.
    if centred or not (unperturbed or linearised):
        assert Method("any", centred, unperturbed, linearised).centred == centred
    else:
        with pytest.raises(ValueError, match="without `centred`"):
            Method("any", centred, unperturbed, linearised)


@given(states(problems(), structured=True))
def test_the_current_weights_are_w0_or_phi_lam_plus_phi0(drawn: Drawn):
    state = drawn.state
    moved = (dense(state.response) @ state.lam[..., None])[..., 0]
    assert_allclose(state.weights(STN), *exactly(state.w0 + moved, state.w0))
    for method in (REPARAM_STN, CENTERED_STN, DELTA_STN):
        assert_array_equal(state.weights(method), state.w0)
