"""Many runs, of any experiments, methods and seeds: one after another, or by any number of workers together.

Workers share the folder of records: each run is done by the one that holds its lock, which the operating system frees
when that worker ends, in whatever way, so that another goes on from its checkpoint. A search's trials are shared.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from deep.hyper.parallel import processes, rank
from deep.runner.jobs import Job
from deep.runner.searches import Search
from deep.training.run import Row
from deep.tuner.diagnosis import NotFinite
from reference.console.command import UserError

OnRow = Callable[[Row], None]

PAUSE = 2.0
"""Seconds between looks at whether other workers' runs have ended."""


def no_log(folder: Path) -> AbstractContextManager[OnRow]:
    """Leave rows to the record alone."""
    return nullcontext(lambda row: None)


def run_all(
    jobs: Sequence[Job | Search],
    log: Callable[[Path], AbstractContextManager[OnRow]] = no_log,
    progress: bool = True,
) -> None:
    """Do the runs that have no record, each once; one that fails does not keep the others from being done.

    Args:
        log: folder -> a function that sees each row while the run of that folder is under way.

    Raises:
        UserError: runs that failed, by the first one's reason.
    """
    todo = {job.folder: job for job in jobs if not job.is_finished()}
    errors: list[UserError] = []
    with tqdm(total=len(todo), unit="run", disable=not progress or len(todo) < 2 or rank() > 0) as bar:
        while todo:
            before = len(todo)
            for folder, job in list(todo.items()):
                try:
                    with _locked(job), log(folder) as on_row:
                        if not job.is_finished():
                            job.run(progress, on_row)
                except Timeout:
                    continue
                except UserError as error:
                    # Of several processes the others may wait in this run for the one that has failed.
                    if processes() > 1 and not isinstance(error, NotFinite):
                        raise
                    errors.append(error)
                del todo[folder]
                bar.update()
            if len(todo) == before:
                time.sleep(PAUSE)
    if errors:
        others = f" (the first of {len(errors)} runs that failed)" if errors[1:] else ""
        raise UserError(f"{errors[0]}{others}")


@contextmanager
def _locked(job: Job | Search) -> Iterator[None]:
    """Hold a run's lock, or raise Timeout where another worker does; searches and process groups have none."""
    if isinstance(job, Search) or processes() > 1:
        yield
        return
    path = job.root / ".locks" / job.folder.relative_to(job.root).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path, timeout=0):
        yield
