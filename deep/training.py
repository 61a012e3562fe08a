"""A whole run: epochs of Algorithm 1 or 2 over batches, a row of history for each, checkpoints, and a progress bar.

column                    meaning
epoch                     0 is the start
inner_steps, outer_steps  done so far
train_loss                mean over the epoch of what w0's step saw, penalties included
valid_loss, test_loss     at the current weights, in evaluation mode
NAME, sigma NAME          s(λ) in the units of the bounds; σ in those of λ
seconds                   since the start, time before an interruption included
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils.data import Dataset
from tqdm import tqdm

from deep import checkpoint
from deep.batches import Batches, overlap
from deep.parallel import processes, rank
from deep.schedule import Schedule
from deep.tuner import Tuner
from reference.command import UserError
from toy import records

Row = dict[str, Any]
Metric = Callable[[Any, Any], Tensor]
Scheduler = LRScheduler | ReduceLROnPlateau


@dataclass
class Run:
    """What `fit` does, as an object that stands at a place: epoch, batch, rows so far.

    Args:
        train, valid, test: batches.
        epochs: in all.
        warm_up: epochs without outer steps.
        metrics: means over examples, besides the loss, of outputs and targets.
        schedulers: of learning rates; each steps at the end of an epoch, those that wait for a plateau with the
            validation loss.
        stop: asked at the end of each epoch.
        replay: for a plain run: the schedule whose values each epoch starts from.
        folder: where checkpoints go; none without it.
        checkpoint_seconds: how often, beside the end of each epoch.
    """

    tuner: Tuner
    train: Batches
    valid: Batches
    test: Batches | None = None
    epochs: int = 1
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    schedulers: Sequence[Scheduler] = ()
    stop: Callable[[], bool] = lambda: False
    replay: Schedule | None = None
    folder: Path | None = None
    checkpoint_seconds: float = 60.0
    progress: bool = True

    def __post_init__(self) -> None:
        if shared := overlap(self.train.dataset, self.valid.dataset):
            raise UserError(f"training and validation share {shared} examples; split them apart")
        self.rows: list[Row] = []
        self._epoch, self._batch, self._sums = 1, 0, [0.0, 0.0]
        self._seconds_before, self._begin = 0.0, time.perf_counter()
        self._saved = self._begin

    def go(self, keep: Callable[[Row], None] = lambda row: None) -> list[Row]:
        """Run to the end, from the checkpoint where the folder holds one; `keep` sees each row, old ones first."""
        self.tuner.model.train()
        self._restore()
        for row in self.rows:
            keep(row)
        total = self.epochs * len(self.train)
        with tqdm(total=total, initial=self._done, unit="step", disable=not self.progress or rank() > 0) as bar:
            if not self.rows:
                self._end_of_epoch(bar, keep, epoch=0)
            while self._epoch <= self.epochs and not self._stopped:
                self._train_epoch(bar)
                self._end_of_epoch(bar, keep, self._epoch)
        return self.rows

    @property
    def _done(self) -> int:
        return (self._epoch - 1) * len(self.train) + self._batch

    @property
    def _stopped(self) -> bool:
        return self._epoch > 1 and self._batch == 0 and self.stop()

    def _train_epoch(self, bar: "tqdm[Any]") -> None:
        tuner = self.tuner
        if self.replay is not None and self._batch == 0:
            tuner.hyper.set(self.replay.at(self._epoch - 1))
        for x, t in self.train.epoch(self._epoch, self._batch):
            loss = tuner.inner_step(x, t).loss
            for _ in range(tuner.due()):
                tuner.outer_step(*self.valid.batch(tuner.outer_steps))
            weight = tuner.draws.share.weight()
            self._sums = [self._sums[0] + weight * float(loss), self._sums[1] + weight]
            self._batch += 1
            bar.update()
            if self.folder is not None and time.perf_counter() - self._saved > self.checkpoint_seconds:
                self._save()

    def _end_of_epoch(self, bar: "tqdm[Any]", keep: Callable[[Row], None], epoch: int) -> None:
        total, weight = _summed(self._sums)
        row = self._row(epoch, total / weight if weight else float("nan"))
        self.rows.append(row)
        if epoch:
            for one in self.schedulers:
                one.step(row["valid_loss"]) if isinstance(one, ReduceLROnPlateau) else one.step()
            self._epoch, self._batch, self._sums = epoch + 1, 0, [0.0, 0.0]
        self._save()
        keep(row)
        bar.set_postfix_str(_summary(row, self.tuner.hyper.names))

    def _row(self, epoch: int, train_loss: float) -> Row:
        hyper = self.tuner.hyper
        steps = {"inner_steps": self.tuner.inner_steps, "outer_steps": self.tuner.outer_steps}
        scores = self._scores("valid", self.valid) | ({} if self.test is None else self._scores("test", self.test))
        sigma = {f"sigma {name}": value for name, value in hyper.scales().items()}
        seconds = self._seconds_before + time.perf_counter() - self._begin
        return {
            "epoch": epoch, **steps, "train_loss": train_loss, **scores, **hyper.values(), **sigma,
            "seconds": round(seconds, 3),
        }  # fmt: skip

    def _scores(self, name: str, batches: Batches) -> Row:
        """The loss and the metrics over all of a dataset."""
        sums = [0.0] * (2 + len(self.metrics))
        for x, t in batches.epoch(0):
            loss, outputs = self.tuner.evaluate(x, t)
            values = [float(loss), *(float(metric(outputs, t)) for metric in self.metrics.values())]
            n = len(t)
            sums = [old + n * new for old, new in zip(sums, [1.0, *values], strict=True)]
        n, *totals = _summed(sums)
        return {f"{name}_{what}": total / n for what, total in zip(("loss", *self.metrics), totals, strict=True)}

    def _save(self) -> None:
        self._saved = time.perf_counter()
        if self.folder is None or rank() > 0:
            return
        state = {
            "tuner": self.tuner.state_dict(),
            "place": (self._epoch, self._batch, self._sums),
            "rows": self.rows,
            "seconds": self._seconds_before + time.perf_counter() - self._begin,
            "schedulers": [one.state_dict() for one in self.schedulers],
        }
        checkpoint.save(self.folder, state)

    def _restore(self) -> None:
        state = None if self.folder is None else checkpoint.load(self.folder, self.tuner.hyper.lam.device)
        if state is None:
            return
        self.tuner.load_state_dict(state["tuner"])
        self._epoch, self._batch, self._sums = state["place"]
        self.rows, self._seconds_before = state["rows"], state["seconds"]
        for one, saved in zip(self.schedulers, state["schedulers"], strict=True):
            one.load_state_dict(saved)


def fit(
    tuner: Tuner,
    train: Dataset[Any],
    valid: Dataset[Any],
    epochs: int,
    *,
    test: Dataset[Any] | None = None,
    batch_size: int = 128,
    warm_up: int = 0,
    metrics: Mapping[str, Metric] | None = None,
    schedulers: Sequence[Scheduler] = (),
    replay: Schedule | None = None,
    out: Path | str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Schedule:
    """Train and tune for a number of epochs; returns the schedule.

    With `out`, the folder gets a record (`toy/records.py`'s format) and, until the run is finished, a checkpoint: the
    same call goes on after a kill, with the same numbers.

    Args:
        train, valid, test: map-style datasets of (input, target).
        batch_size: of training and of validation.
        warm_up: epochs before the first outer step.
        metrics: name -> mean over examples of outputs and targets, for validation and test.

    Raises:
        UserError: what `Run` raises, a finished record in `out`, or a loss that is not finite.
    """
    device = tuner.hyper.lam.device
    tuner.warm_up = warm_up * -(-len(train) // batch_size)  # type: ignore[arg-type]
    run = Run(
        tuner,
        Batches(train, batch_size, seed, device=device),
        Batches(valid, batch_size, seed + 1, device=device),
        None if test is None else Batches(test, batch_size, seed, shuffle=False, device=device),
        epochs=epochs,
        metrics=metrics or {},
        schedulers=schedulers,
        replay=replay,
        folder=None if out is None else Path(out),
        progress=progress,
    )
    settings = {"epochs": epochs, "batch_size": batch_size, "warm_up": warm_up, "seed": seed}
    return Schedule.of(record(run, {**settings, "hyperparameters": list(tuner.hyper.names)}), tuner.hyper.names)


def record(
    run: Run,
    settings: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
    keep: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Go on with a run to its end and write its record; the checkpoint is removed last."""
    if run.folder is None or rank() > 0:
        return run.go(keep)
    if records.is_finished(run.folder, settings):
        raise UserError(f"{run.folder} holds this run's finished record; read it, or choose another folder")

    def both(row: Row) -> None:
        writer.row(row)
        keep(row)

    with records.Writer(run.folder, settings) as writer:
        writer.facts |= facts or {}
        rows = run.go(both)
    checkpoint.discard(run.folder)
    return rows


def _summed(values: list[float]) -> list[float]:
    """Sums over all processes."""
    if processes() == 1:
        return values
    total = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(total)
    return total.tolist()


def _summary(row: Row, names: Sequence[str]) -> str:
    values = " ".join(f"{name} {row[name]:.3g}" for name in names[:4])
    return f"valid {row['valid_loss']:.4f} {values}{' …' if len(names) > 4 else ''}"
