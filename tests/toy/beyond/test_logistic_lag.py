"""Softmax regression's λ runs past λ* because w0 lags: the same loop with the exact Θ, and with the exact weights."""

import numpy as np
import pytest

from reference.rule.optimisers import RmsProp
from toy.beyond.logistic import labels
from toy.beyond.logistic.jobs import DECAY, SCHEDULE

pytestmark = pytest.mark.usefixtures("no_types_checked")


@pytest.fixture(scope="module")
def cancer():
    return labels.problem(labels.load("breast-cancer"), seed=0, h=1)


def descend(problem, lagging: bool, updates: int) -> tuple[np.ndarray, float]:
    """λ after each update, and RMSprop's last α_2/√s: all rows, ε = 0, Θ = ∂r/∂λ.

    The weights are r(λ), or where they lag what the schedule's steps make of them.
    """
    optimiser, memory, lam, path = RmsProp(SCHEDULE.alpha2), np.zeros(1), np.log([DECAY]), []
    w = np.zeros(problem.classes * problem.X.shape[-1])
    steps = SCHEDULE.warm_up + SCHEDULE.T_train
    for _ in range(updates):
        r = problem.best_response(lam)
        if lagging:
            for _ in range(steps):
                w = w - SCHEDULE.alpha1 * problem.grad_w(lam, w)
            steps = SCHEDULE.T_train
        else:
            w = r
        J = -np.linalg.solve(problem.hess_ww(lam, r), problem.hess_wlam(lam, r))
        lam, memory = optimiser.step(lam, np.vecmat(problem.valid_grad_w(lam, w), J), memory)
        path.append(lam.item())
    return np.array(path), SCHEDULE.alpha2 / np.sqrt(memory.item())


def test_lam_runs_past_only_where_w0_lags(cancer):
    (lagging, _), (exact, step) = descend(cancer, True, 60), descend(cancer, False, 120)
    star = -0.797
    assert cancer.hypergradient(np.array([star - 0.01])) < 0 < cancer.hypergradient(np.array([star + 0.01]))
    assert exact.min() > star
    assert lagging[-1] < lagging[-10] < star
    assert (round(lagging[-1], 1), round(exact[59], 1), round(exact[-1], 2)) == (-1.7, 0.1, -0.53)
    assert round(step) == 11
