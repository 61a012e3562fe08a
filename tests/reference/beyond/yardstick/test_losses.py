"""The losses written for other array libraries are the problems' own, at weights and λ anywhere."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from numpy.testing import assert_allclose

from reference.beyond.yardstick.cases import BUILDERS, case_of
from reference.beyond.yardstick.losses import losses
from reference.problems.ridge import Ridge
from tests.strategies import exactly


@pytest.mark.parametrize("name", BUILDERS)
def test_the_losses_are_the_problems_own(name: str):
    case = case_of(name).doubled
    problem, rng = case.problem, np.random.default_rng(5)
    train, valid = losses(problem, np, np.asarray)
    for _ in range(3):
        lam = case.lam + rng.normal(size=case.lam.shape)
        w = problem.best_response(case.lam) + rng.normal(size=len(problem.best_response(case.lam)))
        assert_allclose(train(lam, w), *exactly(problem.train_loss(lam, w)))
        assert_allclose(valid(lam, w), *exactly(problem.valid_loss(lam, w)))


def test_the_loss_of_ridge_is_in_its_metric():
    case, rng = case_of("ridge").doubled, np.random.default_rng(6)
    ridge = cast(Ridge, case.problem)
    w = rng.normal(size=ridge.X.shape[-1])
    problem = replace(ridge, metric=rng.uniform(0.5, 2.0, w.size))
    train, _ = losses(problem, np, np.asarray)
    assert_allclose(train(case.lam, w), *exactly(problem.train_loss(case.lam, w)))
