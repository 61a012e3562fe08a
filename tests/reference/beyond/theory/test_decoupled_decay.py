"""AdamW's decay against torch's steps, a quadratic's roots, fifty digits and bounded least squares."""

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import lsq_linear, minimize

from reference.beyond.control_variate.updates import DELTA_STN_CV_NORMALISED, inner_step
from reference.beyond.theory.decoupled_decay import AdamW, Moments, barrier, full_batch_jacobian, full_batch_metric
from reference.bilevel.transforms import Linear
from reference.problems.ridge import Ridge
from reference.rule.hypernet import FullResponse
from reference.rule.updates import State
from tests.strategies import either, exactly, generators, orthonormal, sizes, spectra

pytestmark = pytest.mark.usefixtures("no_types_checked")

gammas = st.floats(0.2, 1.0)


def fresh(m: int) -> Moments:
    """Before the first step."""
    return Moments(np.zeros(m), np.zeros(m), np.zeros(m))


def steps(rule: AdamW, H: np.ndarray, r: np.ndarray, moments: Moments, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The weights, from 0, and the metric after so many steps on ½(w - r)ᵀH(w - r)."""
    w = np.zeros(len(r))
    for _ in range(count):
        w, moments = rule.step(w, H @ (w - r), moments)
    return w, rule.metric(moments)


@st.composite
def losses(draw: st.DrawFn):
    """H, with eigenvalues between 0.5 and 2, and r."""
    rng, m = draw(generators()), draw(sizes)
    Q, a = orthonormal(rng, (), m, m), draw(spectra(m, -0.3, 0.3))
    return (Q * a) @ Q.T, rng.normal(size=m)


@given(losses(), gammas, st.floats(0.5, 0.95), st.floats(0.9, 0.99), st.floats(1e-8, 0.1), either)
def test_steps_are_torchs(loss, gamma, beta1, beta2, e, amsgrad):
    H, r = loss
    w = torch.zeros(len(r), dtype=torch.float64, requires_grad=True)
    torchs = torch.optim.AdamW([w], 0.1, (beta1, beta2), e, gamma, amsgrad=amsgrad)
    for _ in range(20):
        w.grad = torch.from_numpy(H @ (w.detach().numpy() - r))
        torchs.step()
    rule = AdamW(0.1, gamma, beta1, beta2, e, amsgrad)
    assert_allclose(steps(rule, H, r, fresh(len(r)), 20)[0], w.detach().numpy(), rtol=1e-9, atol=1e-9)


@settings(max_examples=10)
@given(st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=3), gammas, st.floats(0.05, 0.5))
def test_on_the_full_batch_adamw_rests_at_a_root_of_a_quadratic(targets, gamma, e):
    r = np.array(targets)
    w, D = steps(AdamW(alpha=0.02, gamma=gamma, beta2=0.9, e=e), np.eye(len(r)), r, fresh(len(r)), 10_000)
    # (w - |r|)(1 - γw) + eγw = 0 has one root between 0 and 1/γ.
    roots = [np.roots([-gamma, 1 + gamma * (abs(r_i) + e), -abs(r_i)]).min() for r_i in r]
    assert_allclose(w, *exactly(np.sign(r) * roots))
    assert_allclose(full_batch_metric(w, gamma, e), *exactly(D))


def test_at_the_usual_e_the_decay_only_bounds_the_weights():
    r = np.array([2.0, 0.5, -3.0])
    w, _ = steps(AdamW(alpha=1e-3, gamma=1.0, beta2=0.99), np.eye(3), r, fresh(3), 30_000)
    assert_allclose(w, [1.0, 0.5, -1.0], atol=1e-3)  # α; ridge would have r/2


@settings(max_examples=20)
@given(losses(), gammas)
def test_as_e_vanishes_the_minimum_is_that_of_the_loss_in_a_box(loss, gamma):
    H, r = loss

    def objective(u: np.ndarray) -> float:
        w = np.tanh(u) / gamma  # any u is in the box
        return (w - r) @ H @ (w - r) / 2 + float(barrier(w, gamma, 1e-5))

    root = np.linalg.cholesky(H).T
    box = lsq_linear(root, root @ r, (-1 / gamma, 1 / gamma), tol=1e-14).x
    w = np.tanh(minimize(objective, np.zeros(len(r)), tol=1e-9).x) / gamma
    assert_allclose(w, box, atol=0.02)  # e's own share is of the order of √e where a bound is just met


@settings(max_examples=10)
@given(generators(), gammas)
def test_the_full_batch_jacobian_has_the_digits_of_fifty(rng, gamma):
    X, r, e = rng.normal(size=(4, 2)), rng.normal(size=2), 0.1
    H = X.T @ X + np.eye(2)
    start, _ = steps(AdamW(0.005, gamma, beta2=0.9, e=e), H, r, fresh(2), 10_000)
    with mp.workdps(50):
        exact_H, exact_r = mp.matrix(H.tolist()), mp.matrix(r.tolist())

        def rest(log_gamma):
            decay = mp.exp(log_gamma)

            def gradient(*w):
                slope = exact_H * (mp.matrix(w) - exact_r)
                return [slope[i] + mp.mpf(e) * decay * w[i] / (1 - decay * abs(w[i])) for i in range(2)]

            return mp.findroot(gradient, [mp.mpf(x) for x in start])

        lam, h = mp.log(mp.mpf(gamma)), mp.mpf(10) ** -15
        w, slope = rest(lam), (rest(lam + h) - rest(lam - h)) / (2 * h)
        desired = np.array([[float(x)] for x in slope])
        actual = full_batch_jacobian(H, np.array([float(x) for x in w]), gamma, e)
    assert_allclose(actual, *exactly(desired))


@settings(max_examples=10)
@given(generators(), st.floats(0.2, 2.0))
def test_delta_stns_theta_converges_to_the_jacobian_in_the_metric(rng, gamma):
    n, m, sigma = 8, 3, np.full(1, 1e-6)
    X, t, D = orthonormal(rng, (), n, m) * np.sqrt(n), rng.normal(size=n), rng.uniform(0.3, 3.0, m)
    ridge, lam = Ridge(X, t, X, t, divisor=1.0, s=Linear(), metric=D), np.array([gamma])
    state = State(lam, sigma, np.zeros(m), FullResponse(np.zeros((m, 1))))
    for k in range(1500):
        state = inner_step(DELTA_STN_CV_NORMALISED, state, sigma * (-1) ** k, ridge, ridge, 0.2)
    K = X.T @ X / n + gamma * np.diag(D)
    r = np.linalg.solve(K, X.T @ t / n)
    assert_allclose(state.w0, *exactly(r))
    # Of ε² DΘ, whose sign alternates, a share of the order of σ is left.
    assert_allclose(state.response.apply(np.ones(1)), -np.linalg.solve(K, D * r), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weight", [2.0, -2.0, 5.0, np.nan])
def test_weights_at_or_beyond_their_bound_are_refused(weight):
    with pytest.raises(ValueError, match="lower the decay"):
        full_batch_metric(np.array([0.1, weight]), gamma=0.5, e=1.0)
