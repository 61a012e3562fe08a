"""Θ of separable softmax regression: curves against Alg. 1's own steps and against the bound on them."""

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose

from reference.beyond.control_variate.updates import DELTA_STN_NORMALISED as NORMALISED
from reference.beyond.control_variate.updates import inner_step
from reference.beyond.problems.logistic import Logistic
from reference.beyond.theory.response_rate import adam_errors, best_response_path, curvature_bound, descent_errors
from reference.rule.hypernet import FullResponse
from reference.rule.updates import State
from tests.strategies import generators

STEPS = 241
LAM = np.maximum(-0.15 * np.arange(STEPS), -9.0)[:, None]


def separable(rng: np.random.Generator) -> Logistic:
    """Three classes of four rows, each around a corner of its own."""
    t = np.arange(12) % 3
    X = 2 * np.eye(3)[t] + 0.2 * rng.uniform(-1, 1, size=(12, 3))
    return Logistic(X, t, X, t, classes=3, divisor=12.0)


@settings(max_examples=5)
@given(generators())
def test_the_path_holds_the_exact_jacobian_and_the_curve_is_the_algorithms_own(rng):
    problem, lam = separable(rng), LAM[:25:5]
    path, sigma, alpha = best_response_path(problem, lam), np.full(1, 1e-3), 0.3
    response, errors = FullResponse(np.zeros((9, 1))), []
    for k, point in enumerate(lam):
        ahead, r, behind = (problem.best_response(point + change) for change in (1e-4, 0.0, -1e-4))
        assert_allclose(path.J[k], (ahead - behind) / 2e-4, rtol=1e-5, atol=1e-8)
        errors.append(np.linalg.norm(response.Theta[:, 0] - path.J[k]) / np.linalg.norm(path.J[k]))
        # α_1σ² = 0.3, divided by σ² in the step itself; at w0 = r(λ) w0 does not move. The mean over ε = ±σ.
        state = State(point, sigma, r, response)
        ends = [inner_step(NORMALISED, state, eps, problem, problem, alpha).response for eps in (sigma, -sigma)]
        response = FullResponse(np.mean([end.Theta for end in ends if isinstance(end, FullResponse)], axis=0))
    assert_allclose(descent_errors(path, np.full(5, alpha)), errors, rtol=1e-4)


@settings(max_examples=5)
@given(generators())
def test_a_fixed_step_stops_and_one_free_of_the_losss_scale_does_not(rng):
    problem = separable(rng)
    path = best_response_path(problem, LAM)
    alpha = np.full(STEPS, 0.5 / np.linalg.eigvalsh(path.G[0])[-1])
    plain = descent_errors(path, alpha)
    free = descent_errors(path, alpha * path.loss[0] / path.loss)
    quick, slow = (adam_errors(path, 0.02, beta2) for beta2 in (0.9, 0.999))
    assert plain[-1] > max(0.05, 0.9 * plain[60])  # λ rests from step 60 on
    assert free[-1] < 0.01
    assert quick[-1] < 0.02
    assert slow[-1] > 0.9 * slow[60] > 0.1  # a memory of 1000 steps, of when gradients were a thousand times larger
    assert 0.5 < np.linalg.norm(path.J[-1]) / np.linalg.norm(path.J[0]) < 2


@settings(max_examples=5)
@given(generators())
def test_a_fixed_step_keeps_at_least_what_the_bound_says(rng):
    problem, lam = separable(rng), np.full((100, 1), -7.0)
    path = best_response_path(problem, lam)
    alpha = 0.5
    bound = alpha * (curvature_bound(problem.X, path.loss[0]) + np.exp(-7.0) / problem.n)
    assert bound < 0.02
    errors = descent_errors(path, np.full(100, alpha))
    assert np.all(errors >= (1 - bound) ** np.arange(100) - 1e-12)
    assert errors[0] == 1


@settings(max_examples=5)
@given(generators())
def test_adam_is_blind_to_the_losss_scale(rng):
    path = best_response_path(separable(rng), LAM[:20])
    smaller = path._replace(G=1e-6 * path.G, B=1e-6 * path.B)
    assert_allclose(adam_errors(smaller, 0.02, 0.9), adam_errors(path, 0.02, 0.9), rtol=1e-6)


def test_a_problem_with_more_than_the_decay_is_refused():
    X, t = np.eye(2), np.arange(2)
    with pytest.raises(ValueError, match="decay alone"):
        best_response_path(Logistic(X, t, X, t, classes=2, divisor=2.0, h=2), np.zeros((1, 1)))
