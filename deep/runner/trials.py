"""The trials of a search, as an Optuna study that its workers share: who runs which, when it ends, what it measured.

attribute of a trial   meaning
number                 the search's, from 0; a trial that was killed, or cut by time, is run again under its number
epoch K                the row of an epoch

A trial's lock is held while a worker runs it; the operating system frees it when that worker ends, in whatever way.
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState

from deep.training.run import Row, Run
from deep.tuner.diagnosis import NotFinite

Values = Mapping[str, float]

PAUSE = 1.0
"""Seconds between looks at whether other workers' trials have ended."""


@dataclass(frozen=True)
class Trials:
    """A study's trials, and how to run the next one.

    Args:
        folder: of locks.
        prepare: values -> a plain run before its first step.
        propose: number, trial -> values.
        count: of trials; infinite for as many as time allows.
        seconds: on the search's clock, when a trial is cut at the end of an epoch; infinite for no end.
        on_row: called with each row of the trials that this worker runs.
    """

    study: optuna.Study
    folder: Path
    prepare: Callable[[Values], Run]
    propose: Callable[[int, optuna.Trial], Values]
    count: int | float
    seconds: int | float
    on_row: Callable[[Row], None]

    def run(self) -> bool:
        """Run a trial, or wait while other workers run theirs; return False once there is nothing left to do."""
        if self._next() is not None:
            with ExitStack() as locks:
                self.study.optimize(partial(self._objective, locks), n_trials=1)
        elif TrialState.RUNNING in map(self._state, self._begun().values()):
            time.sleep(PAUSE)
        else:
            return False
        return True

    def scores(self) -> list[float]:
        """Return the scores of the trials that have ended."""
        return [trial.values[0] for trial in self._begun().values() if trial.state == TrialState.COMPLETE]

    def rows(self) -> Iterator[Row]:
        """Join the rows of all trials, up to the first at which the search's clock has reached `seconds`."""
        clock = 0.0
        for _, trial in sorted(self._begun().items()):
            begin = clock
            for row in _rows(trial):
                if clock >= self.seconds:
                    return
                clock = begin + row["seconds"]
                yield row | {"seconds": round(clock, 3)}

    def _begun(self) -> dict[int, FrozenTrial]:
        """The last attempt at each number."""
        trials = [trial for trial in self.study.get_trials(deepcopy=False) if "number" in trial.user_attrs]
        begun = {trial.user_attrs["number"]: trial for trial in trials}
        return {number: trial for number, trial in begun.items() if number < self.count}

    def _next(self) -> int | None:
        """The first number that no trial has ended and no worker runs; None without one, or when time is up."""
        begun, number = self._begun(), 0
        while number in begun and self._state(begun[number]) in (TrialState.COMPLETE, TrialState.RUNNING):
            number += 1
        return number if number < self.count and not self._time_is_up() else None

    def _time_is_up(self) -> bool:
        """Tell whether the trials have taken `seconds`, one after another."""
        if math.isinf(self.seconds):
            return False
        return sum(rows[-1]["seconds"] for trial in self._begun().values() if (rows := _rows(trial))) >= self.seconds

    def _lock(self, trial: FrozenTrial | optuna.Trial) -> FileLock:
        return FileLock(self.folder / f"{trial.number}.lock")

    def _state(self, trial: FrozenTrial) -> TrialState:
        """A trial's state, which is FAIL where its worker has died."""
        if trial.state != TrialState.RUNNING:
            return trial.state
        try:
            with self._lock(trial).acquire(timeout=0):
                # Its worker may have ended it between the look at the study and that at the lock.
                state = self.study.get_trials(deepcopy=False)[trial.number].state
                return TrialState.FAIL if state == TrialState.RUNNING else state
        except Timeout:
            return TrialState.RUNNING

    def _objective(self, locks: ExitStack, trial: optuna.Trial) -> float:
        with FileLock(self.folder / "lock"):
            number, begin = self._next(), time.perf_counter()
            if number is None:
                raise optuna.TrialPruned  # another worker was faster
            locks.enter_context(self._lock(trial))  # until the study has the trial's state
            if (last := self._begun().get(number)) and last.state == TrialState.RUNNING:
                self.study.tell(last.number, state=TrialState.FAIL)
            trial.set_user_attr("number", number)
            with warnings.catch_warnings(action="ignore"):  # of infinite scores, which are meant to be clipped
                values = self.propose(number, trial)
        return self._train(trial, number, values, time.perf_counter() - begin)

    def _train(self, trial: optuna.Trial, number: int, values: Values, proposal: float) -> float:
        """Return a plain run's best validation loss; divergence ends a trial as its last epoch does."""
        run = self.prepare(values)
        stops = run.stop
        run.folder, run.stop = None, lambda: stops() or self._time_is_up()

        def on_row(row: Row) -> None:
            measured = {name: row[name] for name in row if name.startswith(("train_", "valid_", "test_"))}
            seconds = round(proposal + row["seconds"], 3)
            row = {"trial": number, "epoch": row["epoch"], **measured, **values, "seconds": seconds}
            trial.set_user_attr(f"epoch {row['epoch']}", row)
            self.on_row(row)

        try:
            run.run(on_row)
            if run.rows[-1]["epoch"] < run.epochs and not stops():
                raise optuna.TrialPruned  # by time
        except NotFinite:
            pass
        return min((row["valid_loss"] for row in run.rows), default=math.inf)


def _rows(trial: FrozenTrial) -> list[Row]:
    rows = (row for name, row in trial.user_attrs.items() if name.startswith("epoch "))
    return sorted(rows, key=lambda row: row["epoch"])
