"""One unit's response and the best Jacobians it can stand for: singular values, brute descent, and Eqn. 3.10 itself."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from reference.beyond.control_variate.normalised import per_variance
from reference.beyond.control_variate.updates import DELTA_STN_CV_NORMALISED, inner_step
from reference.beyond.theory.rank_one import OneUnit, excess, least_loss, nearest
from reference.problems.quadratic import QuadraticProblem
from reference.rule.perturbation import quadrature
from reference.rule.structured import StructuredResponse
from reference.rule.updates import State
from tests.strategies import (
    Case,
    chain_rule,
    dense,
    exactly,
    few,
    generators,
    leads,
    normal,
    quadratics,
    sizes,
    spectra,
    symmetric,
)

single = st.just(())


@st.composite
def settings_of(draw: st.DrawFn, leads: st.SearchStrategy[tuple[int, ...]] = leads):
    """A random Θ*, a Hessian with a drawn spectrum, and scales."""
    rng, lead, m, h = draw(generators()), draw(leads), draw(sizes), draw(few)
    H = symmetric(rng, lead, draw(spectra(m)))
    return rng, normal(rng, *lead, m, h), H, np.exp(normal(rng, *lead, h))


@given(generators(), leads, sizes, few)
def test_one_unit_is_eqn_3_14_without_a_bias(rng, lead, m, h):
    unit, c, g = OneUnit(normal(rng, *lead, m), normal(rng, *lead, h)), normal(rng, *lead, h), normal(rng, *lead, m)
    bias = np.zeros((*lead, 1))
    layer = StructuredResponse(unit.r[..., None, :], bias, unit.u[..., None, :], np.zeros((*lead, 1, h)))
    padded = np.concatenate([g, bias], axis=-1)
    assert_allclose(unit.apply(c), *exactly(layer.apply(c)[..., :-1]))
    assert_allclose(unit.adjoint(g), *exactly(layer.adjoint(padded)))
    assert_allclose(unit.Theta, *exactly(dense(layer)[..., :-1, :]))
    gradient = layer.gradient(c, padded)
    assert_allclose(unit.gradient(c, g).r, *exactly(gradient.W_response[..., 0, :]))
    assert_allclose(unit.gradient(c, g).u, *exactly(gradient.U[..., 0, :]))
    sigma = np.exp(normal(rng, *lead, h))
    ours, theirs = per_variance(unit, sigma), per_variance(layer, sigma)
    assert isinstance(ours, OneUnit)
    assert isinstance(theirs, StructuredResponse)
    assert_allclose(ours.r, *exactly(theirs.W_response[..., 0, :]))
    assert_allclose(ours.u, *exactly(theirs.U[..., 0, :]))
    for index in np.ndindex(lead):
        subject = StructuredResponse(*(getattr(layer, name)[index] for name in ("W_response", "b_response", "U", "V")))
        W_response, _, U, _ = chain_rule(subject, np.outer(padded[index], c[index]))
        assert_allclose(unit.gradient(c, g).r[index], *exactly(W_response[0]))
        assert_allclose(unit.gradient(c, g).u[index], *exactly(U[0]))


@given(settings_of())
def test_what_is_left_is_the_other_singular_values(case):
    _, Theta, H, sigma = case
    others = np.linalg.svd(Theta, compute_uv=False)[..., 1:]
    left = np.sum((nearest(Theta).Theta - Theta) ** 2, axis=(-2, -1))
    assert_allclose(left, *exactly(np.sum(others**2, axis=-1), Theta**2))
    # By another root of H than Cholesky's.
    k, Q = np.linalg.eigh(H)
    root = (Q * np.sqrt(k)[..., None, :]) @ Q.mT
    weighted = np.linalg.svd(root @ Theta * sigma[..., None, :], compute_uv=False)
    assert_allclose(
        excess(least_loss(Theta, H, sigma).Theta, Theta, H, sigma),
        *exactly(np.sum(weighted[..., 1:] ** 2, axis=-1) / 2, weighted**2),
    )


@settings(max_examples=8)
@given(settings_of(single))
def test_no_descent_from_anywhere_finds_a_lower_excess(case):
    rng, Theta, H, sigma = case
    m = len(Theta)

    def of(parts: np.ndarray) -> float:
        return float(excess(np.outer(parts[:m], parts[m:]), Theta, H, sigma))

    least = float(excess(least_loss(Theta, H, sigma).Theta, Theta, H, sigma))
    whole = float(excess(np.zeros_like(Theta), Theta, H, sigma))
    ends = [minimize(of, rng.normal(size=m + len(sigma)), method="BFGS").fun for _ in range(4)]
    assert min(ends) >= least - 1e-9 * whole
    assert min(ends) <= least + 1e-4 * whole  # and one of four arrives there


# Numbers too small to have all their digits are left out.
lengths = st.just(0.0) | st.floats(1e-100, 2.0) | st.floats(-2.0, -1e-100)


@given(settings_of(), lengths)
def test_a_jacobian_of_rank_one_is_met_exactly_in_any_metric(case, size):
    _, Theta, H, sigma = case
    exact = OneUnit(Theta[..., :, 0], size * sigma).Theta
    for measured in (nearest(exact), least_loss(exact, H, sigma)):
        assert_allclose(measured.Theta, *exactly(exact))


@given(settings_of())
def test_with_equal_curvatures_and_scales_the_metrics_agree(case):
    _, Theta, H, sigma = case
    eye, ones = np.broadcast_to(np.eye(H.shape[-1]), H.shape), np.ones_like(sigma)
    s = np.linalg.svd(Theta, compute_uv=False)
    if s.shape[-1] > 1 and (s[..., 1] > 0.99 * s[..., 0]).any():
        return  # nearly two answers
    assert_allclose(least_loss(Theta, eye, ones).Theta, *exactly(nearest(Theta).Theta, 1e3 * Theta))


@given(quadratics(single))
def test_the_excess_is_eqn_3_10_of_a_quadratic_loss_for_any_w0(case: Case[QuadraticProblem]):
    problem, lam, w0 = case.problem, case.lam, case.w
    h = len(lam)
    sigma, Theta = np.exp(case.normal(h)), case.normal(len(w0), h)
    exact = problem.best_response_jacobian(lam)
    eps, weights = quadrature(sigma, nodes=3)

    def objective(Theta: np.ndarray) -> float:
        return float(weights @ problem.train_loss(lam + eps, w0 + eps @ Theta.T))

    terms = weights @ np.abs(problem.train_loss(lam + eps, w0 + eps @ Theta.T))
    actual = objective(Theta) - objective(exact)
    assert_allclose(actual, *exactly(excess(Theta, exact, problem.train.A, sigma), terms, objective(exact)))


@given(quadratics(leads=single), st.sampled_from([0.3, 0.01]))
def test_divided_by_the_variance_both_parts_step_alike_in_the_mean_at_every_common_scale(case: Case, small: float):
    """Eqn. 3.10's gradient on a quadratic loss holds ε twice: {±√h σ e_j} has the moments that it needs."""
    rng, problem, h = case.rng, case.problem, case.lam.shape[-1]
    m = case.w.shape[-1]
    unit, means = OneUnit(normal(rng, m), normal(rng, h)), []
    for sigma in (1.0, small):
        state = State(case.lam, np.full(h, sigma), case.w, unit)
        steps = [
            inner_step(DELTA_STN_CV_NORMALISED, state, eps, problem, problem, 1.0).response
            for eps in np.sqrt(h) * sigma * np.vstack([np.eye(h), -np.eye(h)])
        ]
        means.append([np.mean([getattr(step, name) for step in steps], axis=0) for name in ("r", "u")])
    for at_one, at_small in zip(*means, strict=True):
        assert_allclose(at_small, at_one, rtol=1e-6, atol=1e-6 * np.abs(at_one).max())
