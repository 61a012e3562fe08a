"""Random search, grid search and Bayesian optimisation as runs: settings, folder and record like any other (H.2, H.3).

A trial is a plain run of the preset's epochs at fixed values; its score is its best validation loss.

column          meaning
trial, epoch    each from 0
train_loss ...  as in deep/training/run.py
NAME            the trial's value
seconds         of the whole search so far: deep/trial_history.py's clock
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from deep.baselines import BAYES, GRID, SEARCHES, STARTS, grid, propose, space
from deep.experiments import Experiment
from deep.jobs import FIXED, Changes, Job, provenance
from deep.ledger import Ledger, Trial, lock, study_name
from deep.hyper.parallel import processes
from deep.training.run import Row
from deep.trials import Rest, Trials
from reference.command import UserError
from toy import records

PAUSE = 1.0
"""Seconds between looks at whether the others are done."""


@dataclass(frozen=True)
class Search:
    """One search; several workers on it share its trials.

    Killed at any moment it goes on, and with one worker ends with the same numbers, times aside. With several, which
    trials a proposal knows of depends on who was faster.

    Args:
        trials, seconds: when it ends: at whichever comes first. More of either later goes on from what there is.
        storage: an Optuna URL or a journal's path; None for a journal in the folder. The folder is shared all the same.
        grid: for a grid search: name -> points; ten for those that are not named.
        changes: of the trials; hyperparameters that are given values are not searched.

    Raises:
        UserError: no end, or a grid for another method.
    """

    experiment: Experiment
    preset: str
    method: str
    seed: int
    root: Path
    trials: int | None = None
    seconds: float | None = None
    storage: str | None = None
    grid: Mapping[str, Sequence[float]] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)
    data_home: Path | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.method not in SEARCHES:
            raise UserError(f"unknown search {self.method!r}; choose from {', '.join(SEARCHES)}")
        if self.grid and self.method != GRID:
            raise UserError(f"points of a grid belong to {GRID}, not to {self.method}")
        if self.method != GRID and self.trials is None and self.seconds is None:
            raise UserError(f"{self.method} has no end of its own; give a number of trials, or seconds")
        if (self.trials is not None and self.trials < 1) or (self.seconds is not None and not self.seconds > 0):
            raise UserError("a search's number of trials and its seconds are positive")

    @property
    def folder(self) -> Path:
        """Where the record belongs."""
        return self._job.folder

    def settings(self) -> dict[str, Any]:
        """Everything that the search's numbers depend on, the speed of the machine aside where `seconds` end it."""
        return {**self._searched(), "trials": self.trials, "seconds": self.seconds}

    def is_finished(self) -> bool:
        """Whether the record is there."""
        return records.is_finished(self.folder, self.settings())

    def run(self, progress: bool = True, keep: Callable[[Row], None] = lambda row: None) -> list[Row]:
        """Work until all trials are done, by this worker or by others, and see to it that the record is written.

        `keep` sees each row of the record once its trial and those before have ended.

        Raises:
            UserError: several processes in one group, or a folder with another search's trials.
        """
        if processes() > 1:
            raise UserError("a search's trials run in one process each; start several workers instead of torchrun")
        trials, told = self._trials(progress), 0
        with tqdm(total=trials.most, unit="trial", disable=not progress) as bar:
            while (taken := trials.take()) is not Rest.END:
                time.sleep(PAUSE) if taken is Rest.WAIT else trials.work(taken)
                _show(bar, trials.counted())
                ended = trials.ended()
                for row in trials.rows(told, ended):
                    keep(row)
                told = ended
        rows = self._record(trials)
        for row in trials.rows(told):
            keep(row)
        return rows

    @property
    def _job(self) -> Job:
        return Job(
            self.experiment, self.preset, self.method, self.seed, self.root, self.changes, self.data_home, self.device
        )

    def _searched(self) -> dict[str, Any]:
        """What each trial's values depend on, of whatever number."""
        points = {name: list(map(float, points)) for name, points in self.grid.items()}
        starts = {"starts": STARTS} if self.method == BAYES else {}
        return self._job.settings() | {"grid": points} | starts

    def _trials(self, progress: bool = False) -> Trials:
        job, folder = replace(self._job, method=FIXED), self.folder / "trials"
        given = self.changes.values
        ranges = space(self.experiment.name, job.prepare(progress=False).tuner.hyper.declared, given)
        points = grid(ranges, self.grid) if self.method == GRID else []
        name = study_name(folder, f"{self.experiment.name} {self.method}", self._searched())
        ledger = Ledger(self.storage or folder / "journal.log", name)
        ends = [count for count in (self.trials, len(points)) if count]

        def values(number: int, before: Sequence[Trial]) -> Mapping[str, float]:
            return points[number] if points else propose(self.method, ranges, self.seed, number, before)

        return Trials(
            folder,
            ledger,
            prepare=lambda own: replace(job, changes=replace(self.changes, values={**given, **own})).prepare(progress),
            propose=values,
            distributions={name: one.distribution for name, one in ranges.items()},
            most=min(ends) if ends else None,
            seconds=self.seconds,
        )

    def _record(self, trials: Trials) -> list[Row]:
        rows = trials.rows()
        if not rows:
            raise UserError(f"{self.method}: no trial began with a finite loss; start from other values")
        best = {name: min(rows, key=lambda row: row["valid_loss"])[name] for name in ("trial", "epoch", "valid_loss")}
        with lock(trials.folder / "lock"):
            if not self.is_finished():
                with records.Writer(self.folder, self.settings()) as writer:
                    writer.facts |= {
                        "hyperparameters": list(trials.distributions),
                        "best": best,
                        **provenance(self.device, "optuna"),
                    }
                    for row in rows:
                        writer.row(row)
        return rows


def _show(bar: "tqdm[Any]", trials: list[Trial]) -> None:
    scores = [trial.score for trial in trials if trial.score is not None]
    bar.update(len(scores) - bar.n)
    if scores:
        bar.set_postfix_str(f"best {min(scores):.4f}")
