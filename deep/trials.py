"""The trials of a search: who takes which, and how each goes on after a kill.

file                  content
journal.log           the ledger, unless the search was given another storage
lock                  held while a worker takes a trial
NNNN/lock             held while a worker runs trial NNNN
NNNN/...              see deep/trial_history.py
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile
from pathlib import Path
from typing import IO, Any

from deep import trial_history
from deep.training import checkpoint
from deep.tuner.diagnosis import NotFinite
from deep.ledger import Ledger, Trial, lock, try_lock
from deep.training.run import Row, Run

Values = Mapping[str, float]


class Rest(Enum):
    """There is no trial to take: others are under way, or none is."""

    WAIT = "wait"
    END = "end"


@dataclass(frozen=True)
class Taken:
    """A trial that no other worker can have while its lock is held."""

    trial: Trial
    lock: IO[str]


@dataclass(frozen=True)
class Trials:
    """Those of one search.

    Args:
        prepare: values -> a plain run before its first step.
        propose: number, trials before -> values.
        distributions: what Optuna is told of the values.
        most: trials; None for as many as time allows.
        seconds: on the search's clock, when trials are cut at the end of an epoch; None for no end.
    """

    folder: Path
    ledger: Ledger
    prepare: Callable[[Values], Run]
    propose: Callable[[int, Sequence[Trial]], Values]
    distributions: Mapping[str, Any]
    most: int | None = None
    seconds: float | None = None

    def take(self) -> Taken | Rest:
        """The first trial that a worker has left behind, else a new one."""
        with lock(self.folder / "lock"):
            trials, busy = self.counted(), False
            for number in [trial.number for trial in trials if not self._ended(trial)]:
                held = try_lock(self._place(number) / "lock")
                busy = busy or held is None
                if held is not None:
                    trial = self.counted()[number]
                    if not self._ended(trial):
                        self.ledger.note(trial, cut=False)
                        return Taken(trial, held)
                    held.close()  # its worker ended it a moment ago
            if len(trials) == self.most or self._time_is_up():
                return Rest.WAIT if busy else Rest.END
            return self._new(len(trials))

    def work(self, taken: Taken) -> None:
        """Run a trial to its end, or until time is up."""
        trial, folder = taken.trial, self._place(taken.trial.number)
        with taken.lock:
            rows = trial_history.finished(folder)
            if rows is None:
                rows, ended = self._run(trial, folder)
                if not ended:
                    self.ledger.note(trial, seconds=trial_history.seconds(rows), cut=True)
                    return
                trial_history.write(folder, rows)
            self.ledger.note(trial, seconds=trial_history.seconds(rows))
            self.ledger.finish(trial, trial_history.score(rows))
            checkpoint.discard(folder)

    def counted(self) -> list[Trial]:
        """The trials that count, in their order."""
        return self.ledger.trials()[: self.most]

    def ended(self) -> int:
        """How many have ended of themselves, one after another from the first."""
        return len(list(takewhile(lambda trial: trial.score is not None, self.counted())))

    def rows(self, first: int = 0, last: int | None = None) -> list[Row]:
        """The search's history, or its part of some trials."""
        trials = self.counted()
        clock = sum((trial.notes["proposal"] + trial.notes["seconds"] for trial in trials[:first]), 0.0)
        if self.seconds is not None and clock >= self.seconds:
            return []
        histories = [trial_history.so_far(self._place(trial.number)) for trial in trials[first:last]]
        return list(trial_history.joined(trials[first:last], histories, self.seconds, clock))

    def _place(self, number: int) -> Path:
        return self.folder / f"{number:04d}"

    def _new(self, number: int) -> Taken:
        # Left by a search whose ledger is gone.
        shutil.rmtree(self._place(number), ignore_errors=True)
        begin = time.perf_counter()
        values = self.propose(number, self.ledger.trials())
        spent = round(time.perf_counter() - begin, 3)
        trial = self.ledger.begin(values, self.distributions, proposal=spent, seconds=0.0, cut=False)
        return Taken(trial, lock(self._place(number) / "lock"))

    def _run(self, trial: Trial, folder: Path) -> tuple[list[Row], bool]:
        """The history, and whether the trial has ended of itself; divergence is an end."""
        run = self.prepare(trial.values)
        own = run.stop
        run.folder, run.stop = folder, lambda: own() or self._cut(trial, run.rows)
        try:
            run.run()
        except NotFinite:
            return run.rows, True
        return run.rows, own() or run.rows[-1]["epoch"] >= run.epochs

    def _cut(self, trial: Trial, rows: list[Row]) -> bool:
        """Asked at the end of each epoch."""
        if self.seconds is None:
            return False
        self.ledger.note(trial, seconds=trial_history.seconds(rows))
        return self._time_is_up()

    def _ended(self, trial: Trial) -> bool:
        return trial.score is not None or (trial.notes["cut"] and self._time_is_up())

    def _time_is_up(self) -> bool:
        spent = sum(trial.notes["proposal"] + trial.notes["seconds"] for trial in self.counted())
        return self.seconds is not None and spent >= self.seconds
