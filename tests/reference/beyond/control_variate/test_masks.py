"""What masks leave of the control variate's gain: closed forms against all masks, one by one, at both rates."""

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import expit

from reference.beyond.control_variate.masks import common_constant, mask_variance, residual_moments
from reference.beyond.control_variate.updates import DELTA_STN_CV_NORMALISED, inner_step
from reference.problems.dropout import InputDropout
from reference.rule.hypernet import FullResponse
from reference.rule.updates import State
from tests.strategies import Case, dropouts, exactly

small = dropouts(leads=st.just(()), n=st.integers(1, 2), m=st.integers(1, 2))


def kept(shape: tuple[int, ...], states: int) -> np.ndarray:
    """All ways to give each of so many inputs one of so many states."""
    return np.array(list(product(range(states), repeat=int(np.prod(shape))))).reshape(-1, *shape)


def gradients(problem: InputDropout, lam: float, w: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Eqn. H.2's gradient for every mask, row by row."""
    X = masks * problem.X / (expit(-lam) if problem.inverted else 1.0)
    residuals = np.einsum("zij,j->zi", X, w) - problem.t
    return np.einsum("zi,zij->zj", residuals, X) / len(problem.t)


@given(small)
def test_the_residuals_moments_are_those_over_all_masks(case: Case[InputDropout]):
    problem, lam, w = case.problem, case.lam, case.w
    b, m = problem.X.shape
    masks, q = kept((b, m), 2), expit(-lam[0])
    mean, var = residual_moments(problem, lam, w)
    X = masks * problem.X / (q if problem.inverted else 1.0)
    residuals = X @ w - problem.t
    chance = np.prod(np.where(masks == 1, q, 1 - q), axis=(1, 2))
    for i, k in product(range(b), range(m)):
        given_k = np.where(masks[:, i, k] == 1, chance / q, 0.0)
        desired = given_k @ residuals[:, i]
        assert_allclose(mean[i, k], *exactly(desired, residuals))
        assert_allclose(var[i, k], *exactly(given_k @ (residuals[:, i] - desired) ** 2, residuals**2))


@given(small)
def test_the_gradients_variance_is_that_over_all_masks(case: Case[InputDropout]):
    problem, lam, w = case.problem, case.lam, case.w
    masks, q = kept(problem.X.shape, 2), expit(-lam[0])
    chance = np.prod(np.where(masks == 1, q, 1 - q), axis=(1, 2))
    g = gradients(problem, lam[0], w, masks)
    assert_allclose(mask_variance(problem, lam, w), *exactly(chance @ (g - chance @ g) ** 2, g**2))


@given(dropouts())
def test_of_replicates_as_of_each_alone(case: Case[InputDropout]):
    for function in (mask_variance, common_constant):
        together = function(case.problem, case.lam, case.w)
        for index, problem, lam, w in case.replicates():
            assert_allclose(together[index], *exactly(function(problem, lam, w)))


# As σ vanishes.

SMALL = 1e-3


def perturbations(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights for ε ~ N(0, σ²), each half of the line on its own: |ε| is not smooth at 0."""
    z, weight = np.polynomial.legendre.leggauss(40)
    half = 4.5 * (z + 1)
    weights = 4.5 * weight * np.exp(-(half**2) / 2) / np.sqrt(2 * np.pi)
    return sigma * np.concatenate([-half, half]), np.concatenate([weights, weights])


def cells(shape: tuple[int, ...], p: float, p_eps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each rate of p_eps, a point of each of the 3^(bm) cells into which it and p cut all uniforms; their chances.

    Shapes (k, 3^(bm), b, m) and (k, 3^(bm)).
    """
    ends = np.stack([0 * p_eps, np.minimum(p, p_eps), np.maximum(p, p_eps), 0 * p_eps + 1], axis=-1)
    states = kept(shape, 3)
    return ((ends[:, 1:] + ends[:, :-1]) / 2)[:, states], np.prod(np.diff(ends)[:, states], axis=(-2, -1))


def common_variance(case: Case[InputDropout], Theta: np.ndarray, sigma: float) -> np.ndarray:
    """Of the step with the control variate divided by σ², over ε and all uniforms, as the algorithm takes it."""
    problem, (eps, weights) = case.problem, perturbations(sigma)
    uniforms, chances = cells(problem.X.shape, expit(case.lam[0]), expit(case.lam[0] + eps))
    state = State(case.lam, np.full(1, sigma), case.w, FullResponse(Theta))
    batch = problem.masked(np.arange(problem.n), uniforms)
    after = inner_step(DELTA_STN_CV_NORMALISED, state, eps[:, None, None], batch, batch, 1.0).response
    assert isinstance(after, FullResponse)
    step = (Theta - after.Theta)[..., 0]
    mean, square = (np.einsum("k,kc,kcj->j", weights, chances, moment) for moment in (step, step**2))
    return square - mean**2


def separate_variances(case: Case[InputDropout], Theta: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Of g' ε/σ² and of (g' - g0) ε/σ² with masks of their own, over ε and all masks."""
    problem, lam, w = case.problem, case.lam[0], case.w
    masks = kept(problem.X.shape, 2)
    moments = np.zeros((2, 2, w.size))
    for eps, weight in zip(*perturbations(sigma), strict=True):
        mean, square = [], []
        for lam_at, w_at in ((lam + eps, w + Theta[:, 0] * eps), (lam, w)):
            chance = np.prod(np.where(masks == 1, expit(-lam_at), expit(lam_at)), axis=(1, 2))
            g = gradients(problem, lam_at, w_at, masks)
            mean.append(chance @ g)
            square.append(chance @ g**2)
        plain = mean[0], square[0]
        less = mean[0] - mean[1], square[0] + square[1] - 2 * mean[0] * mean[1]
        for moment, (first, second) in zip(moments, (plain, less), strict=True):
            moment += weight * np.stack([first * eps / sigma**2, second * (eps / sigma**2) ** 2])
    return moments[0, 1] - moments[0, 0] ** 2, moments[1, 1] - moments[1, 0] ** 2


def size_of(case: Case[InputDropout], Theta: np.ndarray) -> float:
    """Of squared gradients, of their jumps and of what follows in the expansion in σ."""
    s = 1 / expit(-case.lam[0])
    largest = np.abs(case.problem.X).max() * s * (1 + np.abs(case.w).max() + np.abs(Theta).max())
    return (case.w.size * largest * (largest + np.abs(case.problem.t).max())) ** 2


@settings(max_examples=15)
@given(small)
def test_with_common_uniforms_the_variance_grows_like_c_over_sigma(case: Case[InputDropout]):
    Theta = case.rng.normal(size=(case.w.size, 1))
    whole, half = (sigma * common_variance(case, Theta, sigma) for sigma in (SMALL, SMALL / 2))
    # The next term is of relative order σ: extrapolated, σ² is left.
    desired = common_constant(case.problem, case.lam, case.w)
    assert_allclose(2 * half - whole, desired, rtol=1e-4, atol=1e-5 * size_of(case, Theta))


@settings(max_examples=15)
@given(small)
def test_without_it_and_with_masks_of_their_own_the_variance_grows_like_one_over_sigma_squared(case):
    problem, lam, w = case.problem, case.lam, case.w
    Theta = case.rng.normal(size=(w.size, 1))
    plain, less = (SMALL**2 * variance for variance in separate_variances(case, Theta, SMALL))
    V, g = mask_variance(problem, lam, w), problem.grad_w(lam, w)
    scale = 1e-5 * size_of(case, Theta)
    assert_allclose(plain, g**2 + V, rtol=1e-4, atol=scale)
    assert_allclose(less, 2 * V, rtol=1e-4, atol=scale)


@given(dropouts())
def test_the_constant_lies_between_1_6_and_3_2_variances(case: Case[InputDropout]):
    V, C = (f(case.problem, case.lam, case.w) for f in (mask_variance, common_constant))
    p = expit(case.lam)
    ratio = 2 * np.sqrt(2 / np.pi)
    assert (C / ratio >= V * (1 - 1e-12)).all()
    assert (C / ((1 + p) * ratio) <= V * (1 + 1e-12)).all()
