"""The two-level loop of Alg. 1 and 2 over replicates: warm-up, then T_train inner steps and T_valid outer ones.

name         symbol          shape
state        λ, σ, w0, Θ     leading axis R, one entry for each seed
minibatches  -               of the training loss, see toy/loop/draws.py
normals      ε/σ             (R, h)
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from reference.beyond.control_variate.updates import inner_step
from reference.bilevel.objective import TrainingObjective
from reference.bilevel.problem import Problem
from reference.rule.optimisers import RmsProp
from reference.rule.updates import Method, State, outer_gradients


@dataclass(frozen=True)
class Schedule:
    """How long, how often and how fast: the settings of H.1, and the choices where it is silent.

    Args:
        unperturbed_outer: λ's step at ε = 0, as in the authors' code where σ is fixed; else at a drawn ε, as Alg. 1 has
            it. σ cannot be learned at ε = 0: of its gradient -τ/σ alone is left.
    """

    alpha1: float
    alpha2: float = 0.02
    T_train: int = 10
    T_valid: int = 1
    warm_up: int = 100
    updates: int = 1000
    keep_every: int = 5
    unperturbed_outer: bool = False

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
    optimiser, memory = RmsProp(schedule.alpha2), np.zeros_like(state.lam)
    for update in range(schedule.updates + 1):
        # Update 0 is the warm-up, during which λ is held.
        T_train, T_valid = (schedule.T_train, schedule.T_valid) if update else (schedule.warm_up, 0)
        for _ in range(T_train):
            eps = state.sigma * next(normals)
            batch, perturbed_batch = next(minibatches)
            state = inner_step(method, state, eps, batch, perturbed_batch, schedule.alpha1)
        for _ in range(T_valid):
            eps = state.sigma * next(normals)
            if schedule.unperturbed_outer:  # drawn all the same, so that both see the same ε in their inner steps
                eps = np.zeros_like(eps)
            gradient, _ = outer_gradients(method, state, eps, problem)
            lam, memory = optimiser.step(state.lam, gradient, memory)
            state = replace(state, lam=lam)
        if update % schedule.keep_every == 0:
            yield update, state
