"""From a job to the records of its seeds: the loop on softmax regression, all seeds along a leading axis."""

import numpy as np
from threadpoolctl import threadpool_limits

from reference.console import records
from reference.console.command import UserError
from reference.rule.hypernet import FullResponse
from reference.rule.updates import State
from toy.beyond.logistic.exact import columns, facts, optimum
from toy.beyond.logistic.jobs import SCHEDULE, Job, start
from toy.beyond.logistic.labels import problem, stack
from toy.loop.draws import normals, row_batches, streams
from toy.loop.train import train
from toy.loop.trajectory import Trajectory, kept
from toy.paper.runs import write

REACH = 15.0
"""A λ further from 0 has diverged: e^15 times too large a weight leaves no best response to compare with."""


def run(job: Job) -> str:
    """Train all seeds side by side and write their records; returns the job's title."""
    # One thread: sums over rows would otherwise depend on how many threads share them.
    with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        trajectory = _train(job)
        for index, seed in enumerate(job.seeds):
            _write(job, seed, trajectory.replicate(index))
    return job.title


def _train(job: Job) -> Trajectory:
    whole = stack([problem(job.data, seed, job.h) for seed in job.seeds])
    _, rows, noise, _ = streams(job.seeds)
    batches = ((batch, batch) for batch in map(whole.rows, row_batches(rows, whole.n, job.batch)))
    lam = np.tile(start(job.h), (len(job.seeds), 1))
    w0 = np.zeros((len(job.seeds), whole.classes * whole.X.shape[-1]))
    state = State(lam, np.full_like(lam, job.sigma), w0, FullResponse(np.zeros((*w0.shape, job.h))))
    return Trajectory.of(kept(train(whole, job.method, state, batches, normals(noise, job.h), SCHEDULE)))


def _write(job: Job, seed: int, trajectory: Trajectory) -> None:
    best = optimum(job.data.name, seed, job.h)
    lam = trajectory.states.lam
    sound = trajectory.finite(np.where(np.abs(lam) <= REACH, lam, np.nan))
    history = _history(job, seed, trajectory.before(sound))
    with records.Writer(job.folder(seed), job.settings(seed)) as writer:
        write(writer, SCHEDULE, trajectory, sound, facts(best), history)


def _history(job: Job, seed: int, trajectory: Trajectory) -> dict[str, np.ndarray]:
    """The columns of a replicate; none where it diverged before the first kept step.

    Raises:
        UserError: one of the λ has no best response that can be computed.
    """
    if not len(trajectory):
        return {}
    try:
        return columns(
            problem(job.data, seed, job.h), job.method, trajectory.states, optimum(job.data.name, seed, job.h)
        )
    except ValueError as error:
        raise UserError(f"{job.title}, seed {seed}: no exact answer ({error}); choose another --sigma") from error
