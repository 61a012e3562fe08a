"""What each alternative is told of the problems on which they are compared.

name        symbol    shape    meaning
lam0        λ0        (h,)     where what needs a start begins
sigma       σ         ()       perturbation scale of STN and Δ-STN
sigma_cv    σ         ()       that of Δ-STN with the control variate, which needs no large one
batch       b         ()       rows of a mini-batch
bounds      -         2        the interval of every λ_i, for everybody who asks for one
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from benchmarks.alternatives.problems import (
    Tuned,
    digits,
    one_penalty,
    penalty_for_each_feature,
    penalty_for_each_product,
)
from reference.bilevel.problem import Problem
from toy.loop.train import Schedule

Keep = Callable[[float, ndarray], None]
"""(price so far, λ)."""


@dataclass(frozen=True)
class Task:
    """A problem for each seed, which is a split of its own, and settings.

    Args:
        penalties: how many of λ's first entries are logarithms of penalties.
        schedule: of STN and its kin; its `keep_every` sets how often they say where they are.
        trials: of Optuna's samplers, by name.
        patience: seconds; what has taken as long on a split is not repeated.
        grid: scikit-learn's search; with as many points as `grids` says, a search for each.
    """

    name: str
    problem: Callable[[int], Tuned]
    lam0: ndarray
    penalties: int
    batch: int
    schedule: Schedule
    trials: Mapping[str, int]
    grid: str = "RidgeCV"
    grids: tuple[int, ...] = (5, 10, 20, 40, 80)
    sigma: float = 1.0
    sigma_cv: float = 0.3
    bounds: tuple[float, float] = Problem.bounds
    patience: float = 4.0

    @property
    def h(self) -> int:
        """How many hyperparameters."""
        return len(self.lam0)

    def line(self, c: float) -> ndarray:
        """λ0 with all its penalties e^c."""
        return np.concatenate([np.full(self.penalties, c), self.lam0[self.penalties :]])

    def quick(self) -> "Task":
        """The same with a fraction of the work, to see that all of it runs."""
        schedule = replace(self.schedule, warm_up=10, updates=10, keep_every=1)
        return replace(self, schedule=schedule, trials=dict.fromkeys(self.trials, 12), grids=(5, 10))


FIFTY, C = float(np.log(50)), float(np.log(1e4))
"""H.1's penalty for sets of 1000 rows and more; scikit-learn's own grid of C goes from 1e-4 to 1e4."""

TASKS = {
    task.name: task
    for task in (
        Task("ridge", one_penalty, np.zeros(1), 1, 10, Schedule(0.01), {"TPE": 100, "GP": 25}),
        Task(
            "logistic",
            digits,
            np.array([0.0, -3.0, *np.zeros(10)]),
            penalties=1,
            batch=100,
            schedule=Schedule(0.3, alpha2=0.005, updates=600),
            trials={"TPE": 30, "GP": 20},
            grid="GridSearchCV",
            grids=(5, 10, 20, 40),
            patience=1.0,
            sigma=0.3,
            bounds=(-C, C),
        ),
        Task(
            "8-penalties", penalty_for_each_feature, np.full(8, FIFTY), 8, 100, Schedule(0.01), {"TPE": 100, "GP": 30}
        ),
        Task(
            "44-penalties",
            penalty_for_each_product,
            np.full(44, FIFTY),
            penalties=44,
            batch=100,
            schedule=Schedule(0.001, alpha2=0.01),
            trials={"TPE": 60, "GP": 20},
            sigma=0.3,
        ),
    )
}
