"""What masks leave of the control variate's gain: closed forms against all masks, one by one."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import expit

from reference.beyond.control_variate.masks import common_constant, mask_variance, residual_moments
from reference.problems.dropout import InputDropout
from tests.strategies import Case, dropouts, exactly

small = dropouts(leads=st.just(()), n=st.integers(1, 2), m=st.integers(1, 2))


def kept(shape: tuple[int, ...]) -> np.ndarray:
    """All masks: 1 where an input is kept."""
    return np.array(list(product(range(2), repeat=int(np.prod(shape))))).reshape(-1, *shape)


def gradients(problem: InputDropout, lam: float, w: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Eqn. H.2's gradient for every mask, row by row."""
    X = masks * problem.X / (expit(-lam) if problem.inverted else 1.0)
    residuals = np.einsum("zij,j->zi", X, w) - problem.t
    return np.einsum("zi,zij->zj", residuals, X) / len(problem.t)


@given(small)
def test_the_residuals_moments_are_those_over_all_masks(case: Case[InputDropout]):
    problem, lam, w = case.problem, case.lam, case.w
    b, m = problem.X.shape
    masks, q = kept((b, m)), expit(-lam[0])
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
    masks, q = kept(problem.X.shape), expit(-lam[0])
    chance = np.prod(np.where(masks == 1, q, 1 - q), axis=(1, 2))
    g = gradients(problem, lam[0], w, masks)
    assert_allclose(mask_variance(problem, lam, w), *exactly(chance @ (g - chance @ g) ** 2, g**2))


@given(dropouts())
def test_of_replicates_as_of_each_alone(case: Case[InputDropout]):
    for function in (mask_variance, common_constant):
        together = function(case.problem, case.lam, case.w)
        for index, problem, lam, w in case.replicates():
            assert_allclose(together[index], *exactly(function(problem, lam, w)))
