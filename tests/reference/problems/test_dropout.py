"""Eqn. H.2: the exact expectation over masks against all masks one by one, and the best response."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.problems.dropout import InputDropout, MaskedRegression
from tests.strategies import Case, differences, dropouts, exactly, generators, normal

single = st.just(())
# At most 2^6 masks.
tiny = dropouts(leads=single, n=st.integers(1, 3), m=st.integers(1, 2))
with_inverted = dropouts(inverted=st.just(True))


def rate(lam: np.ndarray) -> np.ndarray:
    """p = 1 / (1 + e^-λ)."""
    return 1 / (1 + np.exp(-lam))


def all_masks(b: int, m: int) -> np.ndarray:
    """Every R in {0, 1}^(b, m); as uniforms, 1 is at least any rate and 0 less."""
    return np.array(list(product([0.0, 1.0], repeat=b * m))).reshape(-1, b, m)


def probabilities(R: np.ndarray, p: float) -> np.ndarray:
    """Of each mask."""
    return np.prod(np.where(R == 1.0, 1 - p, p), axis=(-2, -1))


def expected_by_enumeration(batch: np.ndarray, problem: InputDropout, lam: np.ndarray, w: np.ndarray):
    """E_R of the loss and the gradient of Eqn. H.2 on a batch of rows, a sum over all masks."""
    X, t, p = problem.X[batch], problem.t[batch], float(rate(lam)[0])
    loss, gradient = 0.0, np.zeros_like(w)
    masks = all_masks(*X.shape)
    for R, probability in zip(masks, probabilities(masks, p), strict=True):
        seen = R * X / (1 - p) if problem.inverted else R * X
        residual = seen @ w - t
        loss += probability * residual @ residual / (2 * len(batch))
        gradient += probability * seen.T @ residual / len(batch)
    return loss, gradient


@given(tiny)
def test_the_loss_is_eqn_h_2_in_expectation_over_all_masks(case: Case[InputDropout]):
    problem, lam, w = case.problem, case.lam, case.w
    loss, gradient = expected_by_enumeration(np.arange(problem.n), problem, lam, w)
    assert_allclose(problem.train_loss(lam, w), *exactly(loss))
    assert_allclose(problem.grad_w(lam, w), *exactly(gradient, problem.Xt / problem.n))


@given(tiny, st.data())
def test_masked_batches_have_the_mean_of_the_expected_loss(case: Case[InputDropout], data: st.DataObject):
    problem, lam, w = case.problem, case.lam, case.w
    batch = case.rng.permutation(problem.n)[: data.draw(st.integers(1, problem.n))]
    uniforms = all_masks(len(batch), len(w))
    masked = problem.masked(batch, uniforms)
    weights = probabilities(uniforms, float(rate(lam)[0]))
    loss, gradient = expected_by_enumeration(batch, problem, lam, w)
    gradients = masked.grad_w(lam, w)
    assert_allclose(weights @ masked.train_loss(lam, w), *exactly(loss))
    assert_allclose(weights @ gradients, *exactly(gradient, gradients))


@given(dropouts())
def test_the_gradient_of_drawn_masks_is_the_slope_of_their_loss(case: Case[InputDropout]):
    n, m = case.problem.X.shape[-2:]
    masked = case.problem.masked(np.arange(n), case.rng.uniform(size=(*case.lead, n, m)))
    desired = differences(lambda w: masked.train_loss(case.lam, w), case.w)
    assert_allclose(masked.grad_w(case.lam, case.w), *desired)


@given(generators(), st.integers(1, 3), st.integers(1, 3), st.floats(-3, 3), st.booleans())
def test_an_input_stays_where_its_uniform_is_at_least_the_rate(rng, b, m, lam, inverted):
    X, uniforms = normal(rng, b, m), rng.uniform(size=(b, m))
    p = float(rate(np.array(lam)))
    inputs = MaskedRegression(X, normal(rng, b), uniforms, inverted).inputs(np.array([lam]))
    for i, j in np.ndindex(b, m):
        kept = X[i, j] / (1 - p) if inverted else X[i, j]
        assert_allclose(inputs[i, j], *exactly(kept if uniforms[i, j] >= p else 0.0))


@given(st.floats(-3, 3))
def test_inputs_are_dropped_at_the_rate_that_lam_stands_for(lam):
    grid = (np.arange(1000) + 0.5) / 1000
    dropped = MaskedRegression(np.ones((1000, 1)), np.ones(1000), grid[:, None], False).inputs(np.array([lam])) == 0
    assert abs(dropped.mean() - rate(np.array(lam))) <= 0.5 / 1000


@given(dropouts(leads=st.just((3,))))
def test_every_replicate_has_masks_of_its_own(case: Case[InputDropout]):
    n, m = case.problem.X.shape[-2:]
    uniforms = case.rng.uniform(size=(3, n, m))
    everything = np.arange(n) if case.shared else np.tile(np.arange(n), (3, 1))
    gradient = case.problem.masked(everything, uniforms).grad_w(case.lam, case.w)
    for (k,), problem, lam, w in case.replicates():
        alone = problem.masked(np.arange(n), uniforms[k])
        assert_array_equal(alone.X, problem.X)
        assert_allclose(gradient[k], *exactly(alone.grad_w(lam, w), alone.X * np.max(alone.t)))


@given(dropouts())
def test_the_best_response_is_least_squares_with_rows_added(case: Case[InputDropout]):
    actual = case.problem.best_response(case.lam)
    for index, problem, lam, _ in case.replicates():
        p = float(rate(lam)[0])
        q = 1 - p
        root = np.diag(np.sqrt(np.sum(problem.X**2, axis=0)))
        data, added = (problem.X, np.sqrt(p / q) * root) if problem.inverted else (q * problem.X, np.sqrt(p * q) * root)
        augmented, t = np.vstack([data, added]), np.concatenate([problem.t, np.zeros(len(root))])
        assert_allclose(actual[index], *exactly(np.linalg.lstsq(augmented, t)[0]))


@given(with_inverted)
def test_the_jacobian_is_minus_the_odds_times_k_inverse_d_r(case: Case[InputDropout]):
    actual = case.problem.best_response_jacobian(case.lam)
    for index, problem, lam, _ in case.replicates():
        r, odds, D = problem.best_response(lam), np.exp(lam[0]), np.diag(np.diag(problem.X.T @ problem.X))
        K = problem.X.T @ problem.X + odds * D
        # The residual of DESIGN's closed form: K dr/dλ + e^λ D r = 0.
        assert_allclose(K @ actual[index][:, 0], *exactly(-odds * D @ r, np.abs(K).max() * np.abs(actual[index])))


@given(dropouts())
def test_validation_runs_without_dropout(case: Case[InputDropout]):
    problem = case.problem
    assert_array_equal(problem.valid_loss(case.lam, case.w), problem.valid_loss(case.lam + 1.0, case.w))
    direct = np.matvec(problem.X_valid, case.w) - problem.t_valid
    assert_allclose(problem.valid_loss(case.lam, case.w), *exactly(np.mean(direct**2, axis=-1) / 2))
