"""The two-level loop of Alg. 1 and 2 over replicates: warm-up, then T_train inner steps and T_valid outer ones.

name         symbol          shape
state        λ, σ, w0, Θ     leading axis R, one entry for each seed
rows, ...    draws           see toy/loop/draws.py
trajectory   -               of states, leading axes K, R: one entry for each step that is kept
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reference.beyond.control_variate.updates import inner_step
from reference.bilevel.objective import TrainingObjective
from reference.bilevel.problem import Problem
from reference.rule.hypernet import FullResponse
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
            eps = state.sigma * next(normals)  # drawn in either case, so that both see the same ε in their inner steps
            if schedule.unperturbed_outer:
                eps = np.zeros_like(eps)
            gradient, _ = outer_gradients(method, state, eps, problem)
            lam, memory = optimiser.step(state.lam, gradient, memory)
            state = replace(state, lam=lam)
        if update % schedule.keep_every == 0:
            yield update, state


def kept(steps: Iterator[tuple[int, State]]) -> Iterator[tuple[int, float, State]]:
    """With the seconds since the start, until every replicate is lost."""
    begin = time.perf_counter()
    for update, state in steps:
        yield update, time.perf_counter() - begin, state
        if not np.isfinite(state.lam).any():
            return


@dataclass(frozen=True)
class Trajectory:
    """The kept steps of a run.

    Args:
        updates: outer updates so far, (K,).
        seconds: since the start, (K,).
        states: their arrays (K, ...).
    """

    updates: list[int]
    seconds: list[float]
    states: State

    @classmethod
    def of(cls, steps: Iterable[tuple[int, float, State]]) -> "Trajectory":
        """Of (update, seconds, state) for each step; of one at least."""
        updates, seconds, states = zip(*steps, strict=True)
        return cls(list(updates), list(seconds), stacked(states))

    def __len__(self) -> int:
        return len(self.updates)

    def replicate(self, index: int) -> "Trajectory":
        """The part at an index of the axis after that of the steps."""
        return replace(self, states=_map(lambda part: part[:, index], self.states))

    def before(self, step: int) -> "Trajectory":
        """The first steps."""
        return Trajectory(self.updates[:step], self.seconds[:step], _map(lambda part: part[:step], self.states))

    def finite(self, *others: np.ndarray) -> int:
        """How many steps come before the first at which a state, or another array (K, ...), is not finite."""
        parts = (self.states.lam, self.states.w0, _Theta(self.states), *others)
        sound = np.all([np.isfinite(part).reshape(len(self), -1).all(axis=1) for part in parts], axis=0)
        return len(self) if sound.all() else int(np.argmin(sound))


def stacked(states: Sequence[State]) -> State:
    """States along a new leading axis."""
    return _map(lambda *parts: np.stack(parts), *states)


def _map(function: Callable[..., np.ndarray], *states: State) -> State:
    parts = zip(*((one.lam, one.sigma, one.w0, _Theta(one)) for one in states), strict=True)
    lam, sigma, w0, Theta = (function(*some) for some in parts)
    return State(lam, sigma, w0, FullResponse(Theta))


def _Theta(state: State) -> np.ndarray:
    assert isinstance(state.response, FullResponse)
    return state.response.Theta
