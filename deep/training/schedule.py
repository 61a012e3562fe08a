"""Hyperparameter schedules (5.2, I.1): the values that a run passed through, to read, to plot, to save and to replay.

name     shape           meaning
epochs   (K,)            0 is the start
values   name -> (K,)    s(λ), in the units of the bounds

and a scale σ that goes from its start to an end by itself, where it is not learned:

σ_k = σ_0 (σ_K/σ_0)^{k/K}     after k of K steps: equal ratios
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from deep.hyper.hyperparameters import Hyperparameters
from deep.training.checkpoint import digest
from deep.tuner.gradients import Evaluation
from reference.console import records
from reference.console.command import UserError
from reference.console.tables import read_table


@dataclass(frozen=True)
class Schedule:
    """What each hyperparameter was at the end of each epoch.

    Example:
        >>> schedule = Schedule(np.array([0.0, 1.0]), {"rate": np.array([0.05, 0.2])})
        >>> schedule.values_at(0), schedule.values_at(7)
        ({'rate': 0.05}, {'rate': 0.2})
    """

    epochs: np.ndarray
    values: Mapping[str, np.ndarray]

    def values_at(self, epoch: int) -> dict[str, float]:
        """The values reached by the end of an epoch; the last ones after the schedule's end."""
        row = max(0, int(np.searchsorted(self.epochs, epoch, side="right")) - 1)
        return {name: float(column[row]) for name, column in self.values.items()}

    @property
    def digest(self) -> str:
        """8 hex digits that another schedule does not have."""
        columns = {"epoch": self.epochs, **self.values}
        return digest(columns, [torch.tensor(column, dtype=torch.float64) for column in columns.values()])

    def save(self, path: Path | str) -> None:
        """As CSV, a column for each hyperparameter."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["epoch", *self.values])
            writer.writerows(
                zip(self.epochs.tolist(), *(column.tolist() for column in self.values.values()), strict=True)
            )

    @staticmethod
    def of(rows: Iterable[Mapping[str, Any]], names: Iterable[str]) -> "Schedule":
        """The schedule in the rows of a history."""
        rows = list(rows)
        columns = {name: np.array([float(row[name]) for row in rows]) for name in names}
        return Schedule(np.array([float(row["epoch"]) for row in rows]), columns)

    @staticmethod
    def read(path: Path | str) -> "Schedule":
        """From a run's folder, or from a CSV that `save` or a person has written.

        Raises:
            UserError: there is no schedule at this path.
        """
        path = Path(path)
        try:
            schedule = _of_record(records.read(path)) if path.is_dir() else _of_csv(path)
            if not schedule.values or not len(schedule.epochs) or not (np.diff(schedule.epochs) > 0).all():
                raise ValueError("no values, or epochs that do not ascend, as those of a search's trials")
            return schedule
        except (UserError, ValueError, KeyError) as error:
            problem = f"{path} holds no schedule ({type(error).__name__}: {error})"
            raise UserError(
                f"{problem}; give a run's folder, or a CSV with `epoch` and a column for each name"
            ) from None


class SigmaDecay:
    """Every σ to `end` in equal ratios; among a run's schedulers, where a step ends an epoch. `end` = σ holds it.

    Example:
        >>> from deep.hyper.declared import Hyperparameter
        >>> hyper = Hyperparameters([Hyperparameter("rate", start=0.5, high=1.0)], sigma=1.0)
        >>> falling = SigmaDecay(hyper, end=0.01, steps=2)
        >>> falling.step()
        >>> round(hyper.scales()["rate"], 6)
        0.1
    """

    def __init__(self, hyper: Hyperparameters, end: float, steps: int) -> None:
        self.hyper, self.end, self.steps = hyper, end, steps
        self.ratios = (end / hyper.sigma.detach()) ** (1 / steps)

    def step(self) -> None:
        """Multiply every σ by its ratio."""
        self.hyper.multiply_scale(self.ratios.to(self.hyper.raw_sigma))

    def state_dict(self) -> dict[str, Any]:
        """The ratios; σ itself is a tuner's."""
        return {"ratios": self.ratios}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at the ratios of a run whose σ has moved since."""
        self.ratios = state["ratios"]


class PerLoss(LRScheduler):
    """Rates in proportion to 1/L_T, L_T a running mean of the training loss: among a run's step schedulers.

    The gradients and the curvature that Θ sees shrink with the loss, so that a plain step learns less and less of it.
    `observe` is to be the run's `on_step`.

    Args:
        most: of 1/L_T.
        memory: how much of the mean stays at each step.
    """

    def __init__(self, optimizer: Optimizer, most: float = 100.0, memory: float = 0.99) -> None:
        self.most, self.memory, self.loss = most, memory, 1.0
        super().__init__(optimizer)

    def observe(self, seen: Evaluation) -> None:
        """Take an inner step's loss into the mean, which starts at 1 and forgets it."""
        self.loss += (1 - self.memory) * (float(seen.loss) - self.loss)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rates of the next step."""
        return [lr * min(self.most, 1 / self.loss) for lr in self.base_lrs]


def _of_record(record: records.Record) -> Schedule:
    columns = {name: record.history[name] for name in record.facts["hyperparameters"]}
    return Schedule(record.history["epoch"], columns)


def _of_csv(path: Path) -> Schedule:
    table = read_table(path, header=True)
    rows = [dict(zip(table.names, row, strict=True)) for row in table.rows]
    return Schedule.of(rows, [name for name in table.names if name != "epoch"])
