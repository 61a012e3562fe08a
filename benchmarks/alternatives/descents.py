"""Descents: L-BFGS on the exact hypergradient of Eqn. 2.4, and STN and its kin, which learn it as they train.

L-BFGS keeps the best λ so far, which it knows; STN and its kin keep the current λ, since they never see L_V(λ, r(λ)).
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy import ndarray
from scipy.optimize import minimize

from benchmarks.alternatives import prices
from benchmarks.alternatives.oracle import Oracle, size
from benchmarks.alternatives.problems import Tuned
from benchmarks.alternatives.tasks import Keep, Task
from reference.beyond.control_variate.updates import DELTA_STN_CV, extended
from reference.rule.hypernet import FullResponse
from reference.rule.updates import DELTA_STN, STN, Method, State
from toy.loop.draws import normals, row_batches, streams
from toy.loop.train import train

LINE = 9
"""Points, λ0 with all its penalties the same."""


def lbfgs(task: Task, problem: Tuned, seed: int, keep: Keep) -> None:
    """scipy's L-BFGS-B with its default settings within the interval, from λ0 and then from the best of a line.

    One start is not enough: where a penalty has vanished the loss is level, and a descent ends there.
    """
    oracle, best = Oracle(problem), np.inf

    def outer(lam: ndarray) -> tuple[float, ndarray]:
        nonlocal best
        loss, slope = oracle.loss_and_gradient(lam)
        if loss < best:
            best = loss
            keep(oracle.price, lam)
        return loss, slope

    descend = partial(minimize, outer, jac=True, method="L-BFGS-B", bounds=[task.bounds] * task.h)
    descend(task.lam0)
    line = [task.line(c) for c in np.linspace(*task.bounds, LINE)]
    descend(line[int(np.argmin([oracle.loss(lam) for lam in line]))])


def hypernetwork(task: Task, problem: Tuned, seed: int, keep: Keep, method: Method) -> None:
    """The loop of toy/loop/train.py, from w0 = 0 and Θ = 0."""
    n, m = size(problem)
    _, row_streams, normal_streams, _ = streams([seed])
    sigma = task.sigma_cv if extended(method).control_variate else task.sigma
    start = State(task.lam0, np.full(task.h, sigma), np.zeros(m), FullResponse(np.zeros((m, task.h))))
    batches = minibatches(problem, row_batches(row_streams, n, task.batch))
    noise = (block[0] for block in normals(normal_streams, task.h))
    inner = prices.inner_step(method, task.batch, n, task.h)
    for update, state in train(problem, method, start, batches, noise, task.schedule):
        keep(task.schedule.iterations(update) * inner + update * prices.outer_step(n, task.h), state.lam)


def minibatches(problem: Tuned, rows: Iterator[ndarray]) -> Iterator[tuple[Tuned, Tuned]]:
    """The training loss on each batch, for both of an iteration's steps."""
    for batch in rows:
        objective = problem.rows(batch[0])
        yield objective, objective


METHODS = {method.name: partial(hypernetwork, method=method) for method in (STN, DELTA_STN, DELTA_STN_CV)}
