"""Many runs, of any experiments, methods and seeds: one after another, or by any number of workers together."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from tqdm import tqdm

from deep.tuner.diagnosis import NotFinite
from deep.jobs import Job
from deep.ledger import Ledger, study_name, try_lock
from deep.hyper.parallel import processes, rank
from deep.training.run import Row
from deep.searches import Search
from reference.command import UserError
from toy import records

Keep = Callable[[Row], None]

LOCKS = ".locks"
"""In a folder of records: what workers hold, and which study of a storage is the folder's."""

PAUSE = 2.0
"""Seconds between looks at whether the others are done."""


def unlogged(folder: Path) -> AbstractContextManager[Keep]:
    """Rows are in the record alone."""
    return nullcontext(lambda row: None)


def work_off(
    jobs: Sequence[Job | Search],
    storage: str | None = None,
    log: Callable[[Path], AbstractContextManager[Keep]] = unlogged,
    progress: bool = True,
) -> None:
    """Do the runs that have no record, each once; one that fails does not keep the others from being done.

    With a storage, workers that were started with it take a run each, none twice, and end when all are done; the run
    of a worker that died is gone on with by another. It is an Optuna URL or a journal's path, and lists who began
    what, for each folder of records apart; whether a run is finished is for its record to say. A search with a storage
    of its own takes in workers that find nothing else to do.

    Args:
        log: folder -> what is told each row while the run of that folder is under way.

    Raises:
        UserError: runs that failed, by the first one's reason, or several processes in one group with a storage.
    """
    if storage is not None and processes() > 1:
        raise UserError("a storage shares runs among workers of one process each; leave out torchrun, or the storage")
    errors: list[UserError] = []
    todo = [job for job in {job.folder: job for job in jobs}.values() if not job.is_finished()]
    with tqdm(total=len(todo), unit="run", disable=not progress or len(todo) < 2 or rank() > 0) as bar:
        for turn in todo if storage is None else _together(todo, storage):
            try:
                with log(turn.folder) as keep:
                    turn.run(progress, keep)
            except UserError as error:
                # Of several processes the others may wait in this run for the one that has failed.
                if processes() > 1 and not isinstance(error, NotFinite):
                    raise
                errors.append(error)
            bar.update(sum(job.is_finished() for job in todo) - bar.n)
    if errors:
        others = f" (the first of {len(errors)} runs that failed)" if errors[1:] else ""
        raise UserError(f"{errors[0]}{others}")


def _together(jobs: Sequence[Job | Search], storage: str) -> Iterator[Job | Search]:
    """The runs that fall to this worker; each is its own until it asks for the next."""
    ledgers = {root: Ledger(storage, study_name(root / LOCKS, "runs", {})) for root in {job.root for job in jobs}}
    tried = set[Path]()
    while todo := [job for job in jobs if job.folder not in tried and not job.is_finished()]:
        idle = True
        for job in todo:
            held = try_lock(job.root / LOCKS / job.folder.relative_to(job.root) / "lock")
            if held is None:
                continue
            with held:
                if not job.is_finished():
                    idle = False
                    tried.add(job.folder)
                    yield from _entered(ledgers[job.root], job)
        if idle:
            if shared := [job for job in todo if isinstance(job, Search) and job.storage is not None]:
                tried.add(shared[0].folder)
                yield shared[0]
            else:
                time.sleep(PAUSE)


def _entered(ledger: Ledger, job: Job | Search) -> Iterator[Job | Search]:
    """The run, with an entry in the ledger before and its best validation loss after it."""
    name = job.folder.relative_to(job.root).as_posix()
    begun = [entry for entry in ledger.trials() if entry.score is None and entry.notes.get("run") == name]
    entry = begun[0] if begun else ledger.begin({}, {}, run=name)
    yield job
    if job.is_finished():
        ledger.finish(entry, float(records.read(job.folder).history["valid_loss"].min()))
