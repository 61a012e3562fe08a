"""The two-level loop of Alg. 1 and 2 over replicates: warm-up, then T_train inner steps and T_valid outer ones.

name         symbol          shape
state        λ, σ, w0, Θ     leading axis R, one entry for each seed
rows, ...    draws           see toy/draws.py
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from reference.objective import TrainingObjective
from reference.optimisers import RmsProp
from reference.problem import Problem
from reference.updates import Method, State, inner_step, outer_gradients


@dataclass(frozen=True)
class Schedule:
    """How long, how often and how fast: the settings of H.1, and the choices where it is silent."""

    alpha1: float
    alpha2: float = 0.02
    T_train: int = 10
    T_valid: int = 1
    warm_up: int = 100
    updates: int = 1000
    keep_every: int = 5

    def iterations(self, update: int) -> int:
        """Inner iterations done by the end of an outer update, warm-up included."""
        return self.warm_up + self.T_train * update


def train(
    problem: Problem,
    method: Method,
    state: State,
    minibatches: Iterator[tuple[TrainingObjective, TrainingObjective]],
    normals: Iterator[np.ndarray],
    schedule: Schedule,
) -> Iterator[tuple[int, State]]:
    """Run the loop; yields (outer updates so far, state) after warm-up and then every `keep_every` updates.

    Args:
        minibatches: for each inner iteration the training loss on a mini-batch, twice, with masks of their own.
        normals: ε/σ, one for each step.
    """

    def inner(state: State) -> State:
        train, perturbed = next(minibatches)
        return inner_step(method, state, state.sigma * next(normals), train, perturbed, schedule.alpha1)

    optimiser, memory = RmsProp(schedule.alpha2), np.zeros_like(state.lam)
    for _ in range(schedule.warm_up):
        state = inner(state)
    yield 0, state
    for update in range(1, schedule.updates + 1):
        for _ in range(schedule.T_train):
            state = inner(state)
        for _ in range(schedule.T_valid):
            gradient, _ = outer_gradients(method, state, state.sigma * next(normals), problem)
            lam, memory = optimiser.step(state.lam, gradient, memory)
            state = replace(state, lam=lam)
        if update % schedule.keep_every == 0:
            yield update, state
