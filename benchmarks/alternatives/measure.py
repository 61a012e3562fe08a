"""One run of everything: alternatives in turn, round after round; then, off the clock, the regret of what they kept.

name       symbol           shape    meaning
seconds    -                (K,)     of one core since the alternative began, median over the rounds
price      -                (K,)     gradient-equivalents
lam        λ                (K, h)   what its user would have taken
regret     -                (K,)     L_V(r(λ))/L_V(r(λ*)) - 1, never below 0: see `optimum`

Seconds are those of the process, which has one thread: what a clock on the wall shows where nothing else runs.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy import ndarray
from scipy.optimize import minimize
from tqdm import tqdm

from benchmarks.alternatives.descents import METHODS, lbfgs
from benchmarks.alternatives.oracle import Oracle
from benchmarks.alternatives.problems import Tuned
from benchmarks.alternatives.searches import logistic_cv, ridge_cv, trials
from benchmarks.alternatives.tasks import Task

ROUNDS = 3
KEPT = 24
"""Points of a trace in the record, at most."""
STARTS = 3
"""Random ones, for the best λ there is."""

Run = Callable[..., object]
GRIDS: Mapping[str, Run] = {"RidgeCV": ridge_cv, "GridSearchCV": logistic_cv}


@dataclass
class Trace:
    """What one run of an alternative kept, and when."""

    seconds: list[float] = field(default_factory=list)
    price: list[float] = field(default_factory=list)
    lam: list[ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._begin = time.process_time()

    def keep(self, price: float, lam: ndarray) -> None:
        """One more point."""
        self.seconds.append(time.process_time() - self._begin)
        self.price.append(price)
        self.lam.append(np.array(lam))


def alternatives(task: Task) -> Iterator[tuple[str, Run]]:
    """Names and functions; of a grid there is one for each size, under one name."""
    for size in task.grids:
        yield task.grid, partial(GRIDS[task.grid], points=size)
    for sampler in task.trials:
        yield f"Optuna, {sampler}", partial(trials, sampler=sampler)
    yield "L-BFGS, exact hypergradient", lbfgs
    yield from METHODS.items()


def run(task: Task, seeds: Iterable[int], rounds: int = ROUNDS) -> dict[int, dict[int, Trace]]:
    """Seed -> number of the alternative -> its trace, timed with everything else in turn."""
    traces: dict[int, dict[int, list[Trace]]] = {seed: {} for seed in seeds}
    for _, alternative in alternatives(task.quick()):
        once(task.quick(), alternative, 0)  # what is imported on first use is nobody's time
    turns = [(seed, i, alternative) for seed in traces for i, alternative in enumerate(alternatives(task))]
    with tqdm(total=rounds * len(turns), unit="run", desc=task.name) as bar:
        for _ in range(rounds):
            for seed, i, (name, alternative) in turns:
                bar.set_postfix_str(name)
                before = traces[seed].setdefault(i, [])
                if sum(trace.seconds[-1] for trace in before) < task.patience:
                    before.append(once(task, alternative, seed))
                bar.update()
    return {seed: {i: combined(repeats) for i, repeats in every.items()} for seed, every in traces.items()}


def once(task: Task, alternative: Run, seed: int) -> Trace:
    """A run from data of which nothing has been computed yet."""
    problem = task.problem(seed)
    trace = Trace()
    alternative(task, problem, seed, trace.keep)
    return trace


def combined(traces: list[Trace]) -> Trace:
    """The trace that all repeats give, each moment their median.

    Raises:
        ValueError: they differ in more than time.
    """
    first = traces[0]
    for other in traces[1:]:
        if other.price != first.price or not np.array_equal(other.lam, first.lam, equal_nan=True):
            raise ValueError("a repeat took another way than the first run did")
    moments = zip(*(trace.seconds for trace in traces), strict=True)
    return Trace([statistics.median(moment) for moment in moments], first.price, first.lam)


def thinned(trace: Trace, count: int = KEPT) -> Trace:
    """The first and the last point, and those at about even ratios between them."""
    last = len(trace.lam) - 1
    chosen = np.unique(np.geomspace(1, last + 1, min(count, last + 1)).round().astype(int) - 1)
    return Trace(*([values[i] for i in chosen] for values in (trace.seconds, trace.price, trace.lam)))


def optimum(task: Task, problem: Tuned, seen: float) -> float:
    """The least outer loss known: `seen` in the run, of descents from random starts; where h = 1 `Problem.optimum`."""
    exact = [float(problem.optimum().loss_star)] if task.h == 1 else []
    starts = np.random.default_rng(0).uniform(*task.bounds, size=(STARTS, task.h))
    outer, options = Oracle(problem).loss_and_gradient, {"ftol": 1e-14, "gtol": 1e-9}
    descend = partial(minimize, outer, jac=True, method="L-BFGS-B", bounds=[task.bounds] * task.h, options=options)
    return min([*exact, seen, *(float(descend(start).fun) for start in starts)])


def outer_losses(problem: Tuned, trace: Trace) -> list[float]:
    """L_V(λ, r(λ)) of what was kept; infinite where λ is no number any more, or has no best response."""
    return [_outer_loss(problem, lam) for lam in trace.lam]


def _outer_loss(problem: Tuned, lam: ndarray) -> float:
    try:
        loss = float(problem.outer_loss(lam))
    except ValueError:  # a LinAlgError is one
        return np.inf
    return loss if np.isfinite(loss) else np.inf


def judged(task: Task, traces: Mapping[int, Mapping[int, Trace]]) -> Iterator[dict[str, Any]]:
    """The rows of the record."""
    names = [name for name, _ in alternatives(task)]
    for seed, every in traces.items():
        problem, few = task.problem(seed), {i: thinned(trace) for i, trace in every.items()}
        losses = {i: outer_losses(problem, trace) for i, trace in few.items()}
        least = optimum(task, problem, min(min(curve) for curve in losses.values()))
        for i, trace in few.items():
            for seconds, price, loss in zip(trace.seconds, trace.price, losses[i], strict=True):
                yield {
                    "method": names[i],
                    "seed": seed,
                    "seconds": round(seconds, 6),
                    "price": float(f"{price:.6g}"),
                    "regret": float(f"{loss / least - 1:.4g}"),
                }
