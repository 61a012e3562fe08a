"""Random search, grid search and Bayesian optimisation as runs: settings, folder and record like any other (H.2, H.3).

A trial is a plain run of the preset's epochs at fixed values; its score is its best validation loss.

column          meaning
trial, epoch    each from 0
train_loss ...  as in deep/training/run.py
NAME            the trial's value
seconds         what the trials so far took, one after another, proposals included, whoever ran them

In the folder `trials` are locks, the name of the Optuna study, and the study, unless the search has another storage.
"""

import json
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from deep.hyper.parallel import processes
from deep.runner.jobs import FIXED, Job, provenance
from deep.runner.spaces import BAYES, GRID, STARTS, grid, propose, space
from deep.runner.trials import Trials, Values
from deep.training.run import Row, Run
from reference.console import records
from reference.console.command import UserError


@dataclass(frozen=True)
class Search(Job):
    """One search; several workers on it share its trials.

    Killed at any moment it goes on: the trial under way runs again from its beginning. With one worker it ends with the
    same numbers, times aside; with several, which scores a proposal knows of depends on who was faster.

    Args:
        trials, seconds: when it ends: at whichever comes first. More of either later goes on with the same study.
        storage: an Optuna URL; None for a file in the folder. The workers share the folder all the same.
    """

    trials: int | None = None
    seconds: float | None = None
    storage: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the search's numbers depend on, the speed of the machine aside where `seconds` end it."""
        return {**self._study_settings, "trials": self.trials, "seconds": self.seconds}

    def run(self, progress: bool = True, on_row: Callable[[Row], None] = lambda row: None) -> list[Row]:
        """Work until all trials have ended, by this worker or by others, and write the record.

        Args:
            on_row: called with each row of the trials that this worker runs.

        Raises:
            UserError: several processes in one group, a storage that cannot be used, or another search's trials.
        """
        if processes() > 1:
            raise UserError("a search's trials run in one process each; start several workers instead of torchrun")
        try:
            ranges = space(self.experiment.name, self._plain_run({}).tuner.hyper.declared)
            points = len(grid(ranges)) if self.method == GRID else math.inf
            trials = Trials(
                self._study(),
                self._trials_folder,
                prepare=partial(self._plain_run, progress=progress),
                propose=partial(propose, self.method, ranges, self.seed),
                count=min(self.trials or math.inf, points),
                seconds=self.seconds or math.inf,
                on_row=on_row,
            )
            with tqdm(total=trials.count, unit="trial", disable=not progress) as bar:
                while trials.run():
                    bar.update(len(scores := trials.scores()) - bar.n)
                    bar.set_postfix_str(f"best {min(scores, default=math.inf):.4f}")
            return self._record(list(trials.rows()), list(ranges))
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, json.JSONDecodeError) as error:
            raise self._unusable(error) from None

    @property
    def _study_settings(self) -> dict[str, Any]:
        """Everything that a trial's values depend on; `grid` is empty, as no points but `spaces`' are searched."""
        return {**super().settings, "grid": {}, **({"starts": STARTS} if self.method == BAYES else {})}

    @property
    def _trials_folder(self) -> Path:
        return self.folder / "trials"

    def _plain_run(self, values: Values, progress: bool = False) -> Run:
        job = Job(self.experiment, self.preset, FIXED, self.seed, self.root, {"values": values})
        return replace(job, data_home=self.data_home, device=self.device).prepare(progress)

    def _study(self) -> optuna.Study:
        """Open the folder's study, or begin it; a folder made anew begins a new one in any storage."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._trials_folder.mkdir(parents=True, exist_ok=True)
        settings, name_file = json.loads(json.dumps(self._study_settings)), self._trials_folder / "study"
        url = self.storage or f"sqlite:///{self._trials_folder / 'optuna.db'}"
        # Two workers must not make the tables of one storage at a time.
        with FileLock(self.root / ".lock"):
            if not name_file.exists():
                name_file.write_text(f"{self.experiment.name} {self.method} {secrets.token_hex(8)}")
            try:
                if not (name := name_file.read_text()):
                    raise ValueError(f"{name_file.name} is empty")
                study = optuna.create_study(storage=url, study_name=name, load_if_exists=True)
                if "settings" not in study.user_attrs:
                    study.set_user_attr("settings", settings)
            except Exception as error:  # whatever the database's driver raises
                raise self._unusable(error) from None
        if study.user_attrs["settings"] != settings:
            raise UserError(f"{self.folder} holds trials of another search; delete it, or choose another folder")
        return study

    def _unusable(self, error: Exception) -> UserError:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if self.storage is None:
            return UserError(f"{self._trials_folder} cannot be used ({reason}); run again, or delete it to begin anew")
        return UserError(f"storage {self.storage!r} cannot be used ({reason}); give a URL such as sqlite:///FILE")

    def _record(self, rows: list[Row], names: list[str]) -> list[Row]:
        if not rows:
            raise UserError(f"{self.method}: no trial began with a finite loss; start from other values")
        best = min(rows, key=lambda row: row["valid_loss"])
        facts = {"hyperparameters": names, "best": {name: best[name] for name in ("trial", "epoch", "valid_loss")}}
        with FileLock(self._trials_folder / "lock"):
            if not self.is_finished():
                with records.Writer(self.folder, self.settings) as writer:
                    writer.facts |= {**facts, **provenance(self.device, "optuna")}
                    for row in rows:
                        writer.row(row)
        return rows
