"""From jobs to records: many jobs over processes, and one job from its start to the files of its seeds.

name        shape     meaning
seeds       (R,)      replicates that run together along a leading axis
steps       (K,)      outer updates that are kept
trajectory  (K, R)    of states
"""

import signal
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import replace
from multiprocessing import resource_tracker
from typing import Any, TypeVar, cast

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from reference.command import UserError
from reference.dropout import InputDropout
from reference.hypernet import FullResponse
from reference.updates import State
from toy import records
from toy.draws import normals, row_batches, streams, uniforms
from toy.exact import exact_columns, exact_facts
from toy.experiments import ToyProblem
from toy.jobs import Job, Task
from toy.split import split, stack
from toy.train import Schedule, train

Out = TypeVar("Out")

Trajectory = list[tuple[int, float, State]]
"""(outer updates, seconds since the start, state) of each kept step."""


def execute(jobs: Sequence[Task], processes: int = -1, work: Callable[[Any], str] | None = None) -> None:
    """Run jobs with joblib, on as many processes (-1: all) or on whatever joblib backend is configured.

    Args:
        work: what runs one of them and returns its title; `run` if None.

    Raises:
        UserError: a process was killed, or what a job raises; the other jobs are given up, finished runs are kept.
    """
    try:
        with completed(work or run, jobs, processes, unit="run", doing="running experiments") as titles:
            for title in titles:
                titles.set_description(f"done: {title}")
    except BaseException:
        for folder in (job.folder(seed) for job in jobs for seed in job.seeds):
            records.discard_parts(folder)
        raise


@contextmanager
def completed(
    work: Callable[[Any], Out], tasks: Sequence[Any], processes: int, *, unit: str, doing: str
) -> Iterator["tqdm[Out]"]:
    """A progress bar over what `work` returns for each task, as they are done; leaving it gives up the rest.

    Raises:
        UserError: a process was killed.
    """
    results, silent = _results(work, tasks, processes), not tasks or sys.stderr is None
    try:
        with warnings.catch_warnings(), closing(results):
            # Of the tasks that it cancels after an error or Ctrl-C.
            warnings.filterwarnings("ignore", module="joblib")
            with tqdm(results, total=len(tasks), unit=unit, desc=doing, disable=silent) as bar:
                yield bar
    except BrokenProcessPool:
        raise UserError("a process was killed, perhaps as memory ran out; run again with --jobs 1") from None


def _results(work: Callable[[Any], Out], tasks: Sequence[Any], processes: int) -> Generator[Out, None, None]:
    # No more processes than tasks: each takes a second to start.
    count = max(1, min(effective_n_jobs(processes), len(tasks)))
    calls: Any = (delayed(work)(task) for task in tasks)
    try:
        parallel = Parallel(n_jobs=count, return_as="generator_unordered")
    except ValueError:  # joblib's multiprocessing backend, and so Ray's, gives all results at once
        yield from cast(list[Out], Parallel(n_jobs=count)(calls))
        return
    with parallel:
        if count > 1:
            resource_tracker.ensure_running()  # of Python's own processes: as it starts it lets interrupts through
        with _interrupts_held():
            results = cast(Generator[Out, None, None], parallel(calls))
        yield from results


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits; processes that start in the meantime never see it, even while they import: this one ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(job: Job) -> str:
    """Train all seeds of a job side by side and write their records; returns the job's title."""
    # One thread: sums over rows would otherwise depend on how many threads share them.
    with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        trajectory = list(_train(job))
        for index, seed in enumerate(job.seeds):
            _write(job, seed, index, trajectory)
    return job.title


def _train(job: Job) -> Iterator[tuple[int, float, State]]:
    splits = stack([split(job.dataset, seed) for seed in job.seeds])
    problem = job.experiment.problem(splits)
    _, n, m = problem.X.shape
    _, row_streams, normal_streams, uniform_streams = streams(job.seeds)
    size = job.experiment.batch(len(job.dataset.X), n)
    rows, state = row_batches(row_streams, n, size), _start(job, m)
    minibatches = _minibatches(problem, rows, uniforms(uniform_streams, size, m))
    begin = time.perf_counter()
    steps = train(problem, job.method, state, minibatches, normals(normal_streams, 1), job.experiment.schedule)
    for update, state in steps:
        yield update, time.perf_counter() - begin, state
        if not np.isfinite(state.lam).any():
            return


def _start(job: Job, m: int) -> State:
    w0 = np.stack([job.experiment.weights(generator, m) for generator in streams(job.seeds)[0]])
    lam = np.full((len(w0), 1), job.experiment.s.inverse(job.start))
    return State(lam, np.full_like(lam, job.sigma), w0, FullResponse(np.zeros((*w0.shape, 1))))


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


def _write(job: Job, seed: int, index: int, trajectory: Trajectory) -> None:
    kept = [(update, seconds, replicate(state, index)) for update, seconds, state in trajectory]
    states = [state for _, _, state in kept]
    sound = _sound(job, states)
    exact, columns = _exact(job, seed, index, states[:sound])
    with records.Writer(job.folder(seed), job.settings(seed)) as writer:
        write(writer, job.experiment.schedule, kept, sound, exact, columns)


def write(
    writer: records.Writer,
    schedule: Schedule,
    kept: Trajectory,
    sound: int,
    exact: Mapping[str, Any],
    columns: Mapping[str, np.ndarray],
) -> None:
    """One replicate's record: its outcome, the exact facts, and a row for each kept step before it diverged.

    Args:
        sound: how many steps come before that.
        columns: of these steps, (sound,) each.
    """
    outcome = "finished" if sound == len(kept) else f"diverged by update {kept[sound][0]}"
    writer.facts |= {"outcome": outcome, "exact": exact, **records.provenance("numpy", "scipy", "scikit-learn")}
    writer.header(["update", "iteration", "seconds", *columns])
    for step, (update, seconds, _) in enumerate(kept[:sound]):
        place = {"update": update, "iteration": schedule.iterations(update), "seconds": round(seconds, 3)}
        writer.row(place | {name: float(column[step]) for name, column in columns.items()})


def _exact(job: Job, seed: int, index: int, states: list[State]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The exact facts of a replicate, and the columns of its history.

    Raises:
        UserError: the problem has no exact answer at one of the λ.
    """
    try:
        problem = job.experiment.problem(split(job.dataset, seed))
        optimum = problem.optimum()
        # A replicate that diverged before the first kept step has columns all the same, of no rows.
        start = replicate(_start(job, problem.X.shape[-1]), index)
        shown = states or [replace(start, lam=optimum.lam_star)]
        columns = exact_columns(problem, job.method, shown, optimum, job.experiment)
    except ValueError as error:  # a LinAlgError is one
        what = f"{job.title}, seed {seed}: no exact answer ({error})"
        raise UserError(f"{what}; choose another --start, or leave out features that depend on others") from error
    return exact_facts(optimum, job.experiment), columns


def replicate(state: State, index: int) -> State:
    """One of the states along the leading axis."""
    response = state.response
    assert isinstance(response, FullResponse)
    return State(state.lam[index], state.sigma[index], state.w0[index], FullResponse(response.Theta[index]))


def _sound(job: Job, states: list[State]) -> int:
    """How many states come before the first that is not finite."""
    for step, state in enumerate(states):
        values = (state.lam, job.experiment.s(state.lam), state.weights(job.method), state.response.adjoint(state.w0))
        if not all(np.isfinite(value).all() for value in values):
            return step
    return len(states)
