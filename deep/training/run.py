"""A run that stands at a place, epoch and batch, and goes on from there: after a kill from its last checkpoint.

column                    meaning
epoch                     0 is the start
inner_steps, outer_steps  done so far
train_loss                mean over the epoch of what w0's step saw, penalties included
valid_loss, test_loss     at the current weights, in evaluation mode
NAME, sigma NAME          s(λ) in the units of the bounds; σ in those of λ
seconds                   since the start, time before an interruption included
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from tqdm import tqdm

from deep.hyper import generators
from deep.hyper.parallel import anywhere, examples, gathered, processes, rank, summed
from deep.responses.contexts import evaluating
from deep.training import checkpoint
from deep.training.batches import Batches, grouped, overlap
from deep.training.checkpoint import scheduler_fingerprint
from deep.training.evaluation import Metric, require_no_batch_of_one, scores
from deep.training.loader import Loader
from deep.training.schedule import Schedule, SigmaDecay
from deep.training.terminal import interrupts_held, progress_bar, summary
from deep.tuner import diagnosis
from deep.tuner.gradients import Evaluation
from deep.tuner.state import require_same_run
from deep.tuner.tuner import Tuner
from reference.console.command import UserError

Row = dict[str, Any]
Scheduler = LRScheduler | ReduceLROnPlateau | SigmaDecay


@dataclass
class Run:
    """Epochs of Algorithm 1 or 2 over batches, a row for each, checkpoints, and a progress bar.

    A model in training mode is taken as it is: parts of it that are in evaluation mode stay so.

    Args:
        train, valid, test: batches.
        epochs: in all.
        accumulate: batches in a step, whose gradients are accumulated.
        metrics: means over examples, besides the loss, of outputs and targets.
        schedulers: of learning rates or of σ; each steps at the end of an epoch, those that wait for a plateau with
            the validation loss.
        step_schedulers: the same at the end of each inner step.
        on_step: sees what each inner step returns, after the outer steps that follow it.
        stop: asked at the end of each epoch.
        replay: for a plain run: the schedule whose values it takes, at the start and at the end of each epoch.
        folder: where checkpoints go; none without it.
        checkpoint_seconds: how often, beside the first and the last.

    Raises:
        UserError: training and validation share examples, a run that tunes is to replay a schedule, the schedule
            lacks what the run reads, a scheduler of steps waits for a validation loss, or two columns of the record
            would have one name.
    """

    tuner: Tuner
    train: Batches | Loader
    valid: Batches | Loader
    test: Batches | Loader | None = None
    epochs: int = 1
    accumulate: int = 1
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    schedulers: Sequence[Scheduler] = ()
    step_schedulers: Sequence[Scheduler] = ()
    on_step: Callable[[Evaluation], object] = lambda seen: None
    stop: Callable[[], bool] = lambda: False
    replay: Schedule | None = None
    folder: Path | None = None
    checkpoint_seconds: float = 30.0
    progress: bool = True

    def __post_init__(self) -> None:
        if shared := overlap(self.train.dataset, self.valid.dataset):
            raise UserError(f"training and validation share {shared} examples; split them apart")
        if self.replay is not None and self.tuner.method is not None:
            raise UserError("a schedule is replayed in a plain run; give method=None, or no schedule")
        if self.replay is not None and (lacking := set(self.tuner.hyper.names) - self.replay.values.keys()):
            problem = f"the schedule has no column {min(lacking)!r}, and would leave it where it starts"
            raise UserError(f"{problem}; add one, or do not declare it (it has {', '.join(self.replay.values)})")
        if any(isinstance(scheduler, ReduceLROnPlateau) for scheduler in self.step_schedulers):
            problem = "ReduceLROnPlateau waits for a validation loss, of which each epoch has one"
            raise UserError(f"{problem}; give it in schedulers, not in step_schedulers")
        if twice := [name for name, count in Counter(self._columns()).items() if count > 1]:
            raise UserError(f"two columns of the record would be {twice[0]!r}; rename the hyperparameter or the metric")
        self.rows: list[Row] = []
        self._epoch, self._batch, self._sums = 1, 0, [0.0, 0.0]
        self._begin, self._saved = time.perf_counter(), 0.0
        self._schedulers = [*self.schedulers, *self.step_schedulers]
        self._fingerprints = [scheduler_fingerprint(scheduler) for scheduler in self._schedulers]

    def run(self, on_row: Callable[[Row], object] = lambda row: None) -> list[Row]:
        """Run to the end, from the checkpoint where the folder holds one; `on_row` sees each row, old ones first.

        Raises:
            UserError: a loss that is not finite, a BatchNorm whose last batch is a single example, or a checkpoint that
                cannot be read, written, or is of another run.
        """
        self.look()
        if self.epochs:
            require_no_batch_of_one(self.tuner, self.train)
        self._restore()
        for row in self.rows:
            on_row(row)
        steps = self.steps
        done = (self._epoch - 1) * (steps or 0) + self._batch
        with progress_bar(None if steps is None else self.epochs * steps, done, self.progress) as bar:
            if not self.rows:
                self._end_of_epoch(bar, on_row, epoch=0)
                self._save()
            with interrupts_held() as interrupted:
                while self._epoch <= self.epochs and not self._stopped:
                    self._train_epoch(bar, interrupted)
                    self._end_of_epoch(bar, on_row, self._epoch)
                self._save()
                # After the last step nobody has asked; what follows this run must not begin.
                if anywhere(interrupted(), self.tuner.device):
                    raise KeyboardInterrupt
        return self.rows

    def look(self) -> None:
        """See the model run on the first batch, in training mode: what responds, and which drop rates are read."""
        if not self.tuner.model.training:
            self.tuner.model.train()
        if not self.tuner.net.looked:
            self.tuner.look(self.train.first()[0])

    @property
    def steps(self) -> int | None:
        """Inner steps in an epoch; None where a DataLoader does not know."""
        try:
            return -(-len(self.train) // self.accumulate)
        except TypeError:
            return None

    @property
    def _stopped(self) -> bool:
        return self._epoch > 1 and self._batch == 0 and anywhere(self.stop(), self.tuner.device)

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._begin

    def _train_epoch(self, bar: "tqdm[Any]", interrupted: Callable[[], bool]) -> None:
        tuner = self.tuner
        for group in grouped(self.train.epoch(self._epoch, self._batch * self.accumulate), self.accumulate):
            seen, n = tuner.inner_step_over(group), sum(examples(x) for x, _ in group)
            for _ in range(tuner.due()):
                tuner.outer_step_over(self.valid.group(tuner.outer_steps, self.accumulate))
            for scheduler in self.step_schedulers:
                scheduler.step()  # type: ignore[call-arg]
            self._sums = [self._sums[0] + n * float(seen.loss), self._sums[1] + n]
            self._batch += 1
            self.on_step(seen)
            bar.update()
            # One question to all processes at each step, the second only after a yes.
            if anywhere(interrupted() or self._seconds - self._saved > self.checkpoint_seconds, self.tuner.device):
                self._save()
                if anywhere(interrupted(), self.tuner.device):
                    raise KeyboardInterrupt

    def _end_of_epoch(self, bar: "tqdm[Any]", on_row: Callable[[Row], object], epoch: int) -> None:
        if self.replay is not None:
            self.tuner.hyper.set(self.replay.values_at(epoch))
        row = self._row(epoch)
        self.rows.append(row)
        if epoch:
            for scheduler in self.schedulers:
                scheduler.step(row["valid_loss"]) if isinstance(scheduler, ReduceLROnPlateau) else scheduler.step()
            self._epoch, self._batch, self._sums = epoch + 1, 0, [0.0, 0.0]
        on_row(row)
        columns = getattr(bar, "ncols", None)  # a hidden bar has none
        bar.set_postfix_str(summary(row, self.tuner.hyper.declared, self.tuner.net.rates, columns))

    def _columns(self) -> list[str]:
        """A row's keys."""
        names = self.tuner.hyper.names
        scored = [f"{part}_{score}" for part in ("valid", "test") for score in ("loss", *self.metrics)]
        scales = [f"sigma {name}" for name in names]
        return ["epoch", "inner_steps", "outer_steps", "train_loss", *scored, *names, *scales, "seconds"]

    def _row(self, epoch: int) -> Row:
        tuner, (total, n) = self.tuner, summed(self._sums, self.tuner.device)
        row: Row = {"epoch": epoch, "inner_steps": tuner.inner_steps, "outer_steps": tuner.outer_steps}
        row["train_loss"] = total / n if n else math.nan
        row |= scores("valid", tuner, self.valid, self.metrics)
        if not math.isfinite(row["valid_loss"]):
            bad = (x for x, t in self.valid.sweep() if not math.isfinite(tuner.evaluate(x, t)[0]))
            with evaluating(tuner.model):
                x = next(bad, self.valid.first()[0])  # in another process, where none is
                raise diagnosis.NotFinite(diagnosis.explain(tuner.net, tuner.validation, x, tuner.inner_steps))
        row |= {} if self.test is None else scores("test", tuner, self.test, self.metrics)
        row |= tuner.hyper.values() | {f"sigma {name}": value for name, value in tuner.hyper.scales().items()}
        return row | {"seconds": round(self._seconds, 3)}

    def _save(self) -> None:
        self._saved = self._seconds
        if self.folder is None:
            return
        if where := diagnosis.weights(self.tuner.net):
            raise diagnosis.NotFinite(f"{where} after {self.tuner.inner_steps} inner steps; {diagnosis.TRY}")
        state = {
            "signature": self._signature(),
            "tuner": self.tuner.state_dict(),
            "place": (self._epoch, self._batch, gathered(self._sums)),
            "generators": gathered(generators.generators()),
            "rows": self.rows,
            "seconds": self._seconds,
            "data": gathered([self.train.state_dict(), self.valid.state_dict()]),
            "schedulers": [scheduler.state_dict() for scheduler in self._schedulers],
        }
        if rank() == 0:
            checkpoint.save(self.folder, state)

    def _restore(self) -> None:
        state = None if self.folder is None else checkpoint.load(self.folder, self.tuner.device)
        if state is None:
            return
        require_same_run(state["signature"], self._signature())
        self.tuner.load_state_dict(state["tuner"])
        self._epoch, self._batch, sums = state["place"]
        self._sums, self.rows = sums[rank()], state["rows"]
        self._begin -= state["seconds"]
        self._saved = self._seconds
        for data, saved in zip((self.train, self.valid), state["data"][rank()], strict=True):
            data.load_state_dict(saved)
        for scheduler, saved in zip(self._schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)
        for optimiser in self.tuner.optimisers.values():
            # PyTorch warns of a scheduler whose optimizer has not stepped in this process.
            optimiser._opt_called = True  # type: ignore[attr-defined]
        generators.set_generators(state["generators"][rank()])

    def _signature(self) -> dict[str, Any]:
        """What a checkpoint must have in common with the run that reads it, beside the tuner's."""
        every = [data for data in (self.train, self.valid, self.test) if data is not None]
        return {
            "number of processes": processes(),
            "number of epochs": self.epochs,
            "datasets' sizes": [data.examples for data in every],
            "data": [data.digest for data in every],
            "accumulated batches": self.accumulate,
            "batch sizes": [data.size for data in every],
            "seeds": [data.seed for data in every],
            "metrics": list(self.metrics),
            "schedulers": self._fingerprints,
            "schedule": None if self.replay is None else self.replay.digest,
        }
