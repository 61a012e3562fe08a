"""Many jobs over processes: as many as there are cores, given up together, and Ctrl-C answered here alone."""

import signal
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from joblib import Parallel, delayed, effective_n_jobs
from tqdm import tqdm

from reference.console import records
from reference.console.command import UserError

Out = TypeVar("Out")


@runtime_checkable
class Task(Protocol):
    """What must be known of anything that writes records."""

    @property
    def seeds(self) -> tuple[int, ...]: ...

    @property
    def title(self) -> str: ...

    def folder(self, seed: int) -> Path: ...


def execute(
    jobs: Sequence[Task],
    work: Callable[[Any], str],
    processes: int = -1,
    shares: Sequence[Any] | None = None,
) -> None:
    """Run jobs with joblib, on as many processes (-1: all) or on whatever joblib backend is configured.

    Args:
        work: runs a share and returns its title.
        shares: the jobs as a process takes them; each by itself if None.

    Raises:
        UserError: a process was killed, or what a job raises; the other jobs are given up, finished runs are kept.
    """
    try:
        with completed(work, shares or jobs, processes, unit="run", doing="running experiments") as titles:
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
