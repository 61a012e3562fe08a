"""Who does what when several workers, on one machine or many, share a piece of work.

name     meaning
ledger   an Optuna study in a storage that all workers share: a trial for each piece that was begun
lock     a file's; the operating system gives it back when the process that holds it ends, in whatever way

A trial that is begun and whose lock is free was left by a worker that died: any other goes on with it. So the workers
need a file system in common that has locks (every local one; NFS since Linux 2.6.12), beside the storage.
"""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from reference.command import UserError

TRIES = 3
"""To open a storage: of two workers that make its tables at the same time one fails, and finds them the next time."""

STUDY = "study.json"


def optuna() -> ModuleType:
    """Optuna, silent; imported only where it is needed.

    Raises:
        UserError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise UserError("searches and shared work need Optuna: pip install '.[deep]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def lock(path: Path) -> IO[str]:
    """A file whose lock is held until it is closed, once no other holds it."""
    return _flock(path, fcntl.LOCK_EX)


def try_lock(path: Path) -> IO[str] | None:
    """The same at once; None where another holds it."""
    try:
        return _flock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def _flock(path: Path, how: int) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a")
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        file.close()
        raise
    except OSError as error:
        file.close()
        raise UserError(f"{path} cannot be locked ({error.strerror}); use a file system that has locks") from None
    return file


@dataclass(frozen=True)
class Trial:
    """An entry: `score` is None until it is finished."""

    number: int
    key: int
    values: Mapping[str, float]
    score: float | None
    notes: Mapping[str, Any]


class Ledger:
    """One study.

    Args:
        storage: an Optuna URL (`sqlite:///...`, `postgresql://...`), or the path of a journal file.

    Raises:
        UserError: Optuna is missing, or the storage cannot be opened.
    """

    def __init__(self, storage: str | Path, name: str) -> None:
        self._optuna = optuna()
        for left in reversed(range(TRIES)):
            try:
                self._storage = self._open(str(storage))
                self._study = self._find(name)
                return
            except Exception as error:  # whatever the database's driver raises
                if not left:
                    reason = next(iter(str(error).splitlines()), type(error).__name__)
                    what = f"storage {str(storage)!r} cannot be used ({reason})"
                    raise UserError(f"{what}; give an Optuna URL such as sqlite:///FILE, or a file's path") from None
                time.sleep(1)

    def _open(self, storage: str) -> Any:
        if "://" in storage:
            return self._optuna.storages.RDBStorage(storage)
        from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

        # Optuna's lock is a link to the path it is given, which from the journal's own folder must lead there.
        path = Path(storage).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        held = JournalFileSymlinkLock(str(path))
        if path.exists():
            _cut_unended(path, held)
        return self._optuna.storages.JournalStorage(JournalFileBackend(str(path), lock_obj=held))

    def _find(self, name: str) -> int:
        try:
            return self._storage.create_new_study([self._optuna.study.StudyDirection.MINIMIZE], name)
        except self._optuna.exceptions.DuplicatedStudyError:
            return self._storage.get_study_id_from_name(name)

    def trials(self) -> list[Trial]:
        """All, in the order of their numbers."""
        found = self._storage.get_all_trials(self._study, deepcopy=False)
        return [self._trial(one) for one in sorted(found, key=lambda one: one.number)]

    def _trial(self, one: Any) -> Trial:
        values = {name: float(value) for name, value in one.params.items()}
        return Trial(one.number, one._trial_id, values, one.value, dict(one.user_attrs))

    def begin(self, values: Mapping[str, float], distributions: Mapping[str, Any], **notes: Any) -> Trial:
        """A new trial, whole at once: no kill can leave one that lacks some of its values."""
        template = self._optuna.trial.create_trial(
            state=self._optuna.trial.TrialState.RUNNING,
            params=dict(values),
            distributions=dict(distributions),
            user_attrs=notes,
        )
        return self._trial(self._storage.get_trial(self._storage.create_new_trial(self._study, template)))

    def note(self, trial: Trial, **notes: Any) -> None:
        """Facts that the other workers see."""
        for name, value in notes.items():
            self._storage.set_trial_user_attr(trial.key, name, value)

    def finish(self, trial: Trial, score: float) -> None:
        """Enter the score."""
        self._storage.set_trial_state_values(trial.key, self._optuna.trial.TrialState.COMPLETE, [score])


def _cut_unended(journal: Path, held: Any) -> None:
    """Drop a last line that a kill or a full disk has left without its end, or the next would be joined to it."""
    held.acquire()
    try:
        text = journal.read_bytes()
        if len(text) > (end := text.rfind(b"\n") + 1):
            os.truncate(journal, end)
    finally:
        held.release()


def study_name(folder: Path, title: str, settings: Mapping[str, Any]) -> str:
    """The name of the study that belongs to a folder, made up by its first worker: a folder made anew begins anew.

    Raises:
        UserError: the folder's study is of other settings.
    """
    settings = json.loads(json.dumps(settings))
    path = folder / STUDY
    with lock(folder / "lock"):
        if not path.exists():
            part = folder / f"{STUDY}.part"
            part.write_text(json.dumps({"study": f"{title} {secrets.token_hex(8)}", "settings": settings}, indent=2))
            part.replace(path)
    known = json.loads(path.read_text())
    if known["settings"] != settings:
        raise UserError(f"{folder} holds trials of another search; delete it, or choose another folder")
    return known["study"]
