"""What perturbations that are not small make of the problems: the brute-force rests are at rest, and σ is recovered."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from reference.beyond.problems.grouped import GroupedRegression
from reference.beyond.yardstick.cause import Cause
from reference.beyond.yardstick.predictions.known import known
from reference.beyond.yardstick.predictions.perturbed import JOINT, RESPONSE, SMOOTHED, perturbed
from reference.rule.perturbation import quadrature
from tests.reference.beyond.yardstick.resting import learned, of_many, of_one

SIGMA = 0.6


@pytest.mark.parametrize("jointly", [False, True])
@pytest.mark.parametrize("name", ["ridge", "dropout", "softmax", "ill-1e4", "ill-1e8"])
def test_at_rest_the_mean_gradients_vanish(name: str, jointly: bool):
    parts = known(name).parts
    problem, lam = parts.problem, parts.lam
    Z = (of_many if isinstance(problem, GroupedRegression) else of_one)(problem, lam, SIGMA, jointly)
    # A grid over all three coordinates: twenty points in each take e^ε to rounding.
    eps, weights = quadrature(np.full(len(lam), SIGMA), nodes=20)
    phi = np.column_stack([np.ones(len(eps)), eps])
    gradients = problem.train_grad_v(lam + eps, phi @ Z)
    means = (weights[:, None] * phi).T @ gradients
    scale = np.abs(problem.train_grad_v(lam, 0 * parts.w)).max()
    assert_allclose(means[1 - jointly :], 0.0, atol=1e-10 * scale)


@pytest.mark.parametrize("name", ["ridge", "dropout", "rank-deficient", "penalties", "rates", "ill-1e4", "softmax"])
def test_the_predictions_are_those_rests(name: str):
    subject = known(name)
    curves = perturbed(subject.parts)
    for cause, jointly in ((RESPONSE, False), (JOINT, True)):
        if cause in curves:
            predicted, there = (
                curves[cause].predict(SIGMA),
                learned(subject.parts.problem, subject.parts.lam, SIGMA, jointly),
            )
            assert predicted is not None
            assert_allclose(predicted, there, rtol=subject.tol / 10)


@pytest.mark.parametrize("cause", [RESPONSE, JOINT])
@pytest.mark.parametrize("name", ["penalties", "rates", "ill-1e4", "ill-1e8"])
def test_several_entries_give_sigma_away(name: str, cause: Cause):
    curve = perturbed(known(name).parts)[cause]
    for sigma in (0.05, 0.123, 0.7, 1.87):
        answer = curve.predict(sigma)
        assert answer is not None
        actual = curve.through(answer)
        assert actual is not None
        assert_allclose(actual, sigma, rtol=1e-4 if name == "ill-1e8" else 1e-6)


def test_what_has_no_closed_form_is_left_out():
    assert not any(perturbed(known(name).parts) for name in ("quadratic", "wide", "flat", "class-weights"))
    assert SMOOTHED not in perturbed(known("penalties").parts)
    assert JOINT not in perturbed(known("rank-deficient").parts)
    assert perturbed(known("saturating").parts)[SMOOTHED].predict(10.0) is None  # penalties below zero
