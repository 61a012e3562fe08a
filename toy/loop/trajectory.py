"""What is kept of the loop: the states after some of its updates, and the seconds that they took.

name         meaning                                                 axes
trajectory   of states; its arrays have a leading axis of kept steps  K, then R, one entry for each seed
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reference.rule.hypernet import FullResponse
from reference.rule.updates import State


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
    parts = zip(*((state.lam, state.sigma, state.w0, _Theta(state)) for state in states), strict=True)
    lam, sigma, w0, Theta = (function(*arrays) for arrays in parts)
    return State(lam, sigma, w0, FullResponse(Theta))


def _Theta(state: State) -> np.ndarray:
    assert isinstance(state.response, FullResponse)
    return state.response.Theta
