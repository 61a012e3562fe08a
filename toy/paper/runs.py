"""From jobs to records: jobs that see the same draws, side by side from their start to their files.

name        shape        meaning
seeds       (R,)         replicates that run together along a leading axis
trajectory  (K, V, R)    of the states of V jobs of a method and schedule; then of one job (K, R), and of one seed (K,)
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import tee, zip_longest
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from threadpoolctl import threadpool_limits

from reference.console import records
from reference.console.command import UserError
from reference.problems.dropout import InputDropout
from reference.rule.hypernet import FullResponse
from reference.rule.updates import State
from toy.console.processes import execute as execute_shares
from toy.data.split import split, stack
from toy.loop.draws import normals, row_batches, streams, uniforms
from toy.loop.train import Schedule, train
from toy.loop.trajectory import Trajectory, kept, stacked
from toy.paper.exact import exact_columns, exact_facts
from toy.paper.experiments import ToyProblem
from toy.paper.jobs import Job, alike


def execute(jobs: Sequence[Job], processes: int = -1) -> None:
    """Run jobs, on as many processes (-1: all): those that see the same draws together, unless processes are to spare.

    Raises:
        UserError: a process was killed, or what a job raises; the other jobs are given up, finished runs are kept.
    """
    groups = alike(jobs)
    shares = groups if len(groups) >= effective_n_jobs(processes) else [[job] for job in jobs]
    execute_shares(jobs, run, processes, shares)


def run(jobs: Sequence[Job]) -> str:
    """Train jobs that are `alike`, and their seeds, side by side and write their records; returns what to call them."""
    # One thread: sums over rows would otherwise depend on how many threads share them.
    with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        trained = train_jobs(jobs)
        for index, seed in enumerate(jobs[0].seeds):
            _write(seed, [(job, trajectory.replicate(index)) for job, trajectory in trained])
    others = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
    return jobs[0].title + others


def train_jobs(jobs: Sequence[Job]) -> list[tuple[Job, Trajectory]]:
    """Every job and its trajectory; mini-batches and noise are drawn once for all of them."""
    experiment, dataset, seeds = jobs[0].experiment, jobs[0].dataset, jobs[0].seeds
    problem = experiment.problem(stack([split(dataset, seed) for seed in seeds]))
    _, n, m = problem.X.shape
    starts, row_streams, normal_streams, uniform_streams = streams(seeds)
    w0 = np.stack([experiment.weights(generator, m) for generator in starts])
    size = experiment.batch(len(dataset.X), n)
    minibatches = _minibatches(problem, row_batches(row_streams, n, size), uniforms(uniform_streams, size, m))
    kinds = dict.fromkeys((job.method, job.schedule) for job in jobs)
    groups = [[job for job in jobs if (job.method, job.schedule) == kind] for kind in kinds]
    draws = zip(tee(minibatches, len(groups)), tee(normals(normal_streams, 1), len(groups)), strict=True)
    loops = [
        kept(train(problem, group[0].method, _start(group, w0), batches, noise, group[0].schedule))
        for group, (batches, noise) in zip(groups, draws, strict=True)
    ]
    # In step with one another: a draw is kept until the last of them has seen it.
    trajectories = [Trajectory.of(filter(None, steps)) for steps in zip(*zip_longest(*loops), strict=True)]
    pairs = zip(groups, trajectories, strict=True)
    return [(job, trajectory.replicate(k)) for group, trajectory in pairs for k, job in enumerate(group)]


def _start(jobs: Sequence[Job], w0: np.ndarray) -> State:
    """Of jobs of one method and schedule, along a leading axis before that of the replicates."""
    lam = [np.full((len(w0), 1), job.experiment.s.inverse(job.start)) for job in jobs]
    response = FullResponse(np.zeros((*w0.shape, 1)))
    pairs = zip(lam, jobs, strict=True)
    return stacked([State(lam_i, np.full_like(lam_i, job.sigma), w0, response) for lam_i, job in pairs])


def _minibatches(
    problem: ToyProblem, rows: Iterator[np.ndarray], masks: Iterator[np.ndarray]
) -> Iterator[tuple[Any, Any]]:
    for batch in rows:
        if isinstance(problem, InputDropout):
            objective = problem.masked(batch, next(masks))
            yield objective, replace(objective, uniforms=next(masks))
        else:
            objective = problem.rows(batch)
            yield objective, objective


def _write(seed: int, trained: Sequence[tuple[Job, Trajectory]]) -> None:
    """The records of one seed.

    Raises:
        UserError: the problem has no exact answer at one of the λ.
    """
    first, _ = trained[0]
    problem = first.experiment.problem(split(first.dataset, seed))
    with _exact_answers(first, seed):
        optimum = problem.optimum()
    for job, trajectory in trained:
        sound = steps_before_divergence(job, trajectory)
        shown = trajectory.before(sound or 1).states
        if not sound:  # it diverged before the first kept step, and has columns all the same, of no rows
            shown = replace(shown, lam=optimum.lam_star[None])
        with _exact_answers(job, seed):
            columns = exact_columns(problem, job.method, shown, optimum, job.experiment)
        with records.Writer(job.folder(seed), job.settings(seed)) as writer:
            write(writer, job.schedule, trajectory, sound, exact_facts(optimum, job.experiment), columns)


@contextmanager
def _exact_answers(job: Job, seed: int) -> Iterator[None]:
    try:
        yield
    except ValueError as error:  # a LinAlgError is one
        raise UserError(
            f"{job.title}, seed {seed}: no exact answer ({error}); "
            "choose another --start, or leave out features that depend on others"
        ) from error


def write(
    writer: records.Writer,
    schedule: Schedule,
    trajectory: Trajectory,
    sound: int,
    exact: Mapping[str, Any],
    columns: Mapping[str, np.ndarray],
) -> None:
    """One replicate's record: its outcome, the exact facts, and a row for each kept step before it diverged.

    Args:
        sound: how many steps come before that.
        columns: of these steps, (sound,) each.
    """
    outcome = "finished" if sound == len(trajectory) else f"diverged by update {trajectory.updates[sound]}"
    writer.facts |= {"outcome": outcome, "exact": exact, **records.provenance("numpy", "scipy", "scikit-learn")}
    writer.header(["update", "iteration", "seconds", *columns])
    for step in range(sound):
        update, seconds = trajectory.updates[step], round(trajectory.seconds[step], 3)
        place = {"update": update, "iteration": schedule.iterations(update), "seconds": seconds}
        writer.row(place | {name: float(column[step]) for name, column in columns.items()})


def steps_before_divergence(job: Job, trajectory: Trajectory) -> int:
    """How many steps come before the first with a number that is not finite."""
    states = trajectory.states
    return trajectory.finite(
        job.experiment.s(states.lam), states.weights(job.method), states.response.adjoint(states.w0)
    )
