"""A whole run in one call, and its record."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from deep import checkpoint
from deep.batches import Batches
from deep.evaluation import Metric
from deep.parallel import rank
from deep.run import Row, Run, Scheduler
from deep.schedule import Schedule
from deep.tuner import Tuner
from reference.command import UserError
from toy import records


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
    batches = Batches(train, batch_size, seed, device=device)
    tuner.warm_up = warm_up * len(batches)
    run = Run(
        tuner,
        batches,
        Batches(valid, batch_size, seed + 1, device=device),
        None if test is None else Batches(test, batch_size, seed, shuffle=False, device=device),
        epochs=epochs,
        metrics=metrics or {},
        schedulers=schedulers,
        replay=replay,
        folder=None if out is None else Path(out),
        progress=progress,
    )
    method = "plain" if tuner.method is None else tuner.method.name
    settings = {"method": method, "epochs": epochs, "batch_size": batch_size, "warm_up": warm_up, "seed": seed}
    return Schedule.of(record(run, settings), tuner.hyper.names)


def record(
    run: Run,
    settings: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
    keep: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Go on with a run to its end and write its record; the checkpoint is removed last."""
    if run.folder is not None and records.is_finished(run.folder, settings):
        raise UserError(f"{run.folder} holds this run's finished record; read it, or choose another folder")
    if run.folder is None or rank() > 0:
        return run.go(keep)

    def both(row: Row) -> None:
        writer.row(row)
        keep(row)

    with records.Writer(run.folder, settings) as writer:
        writer.facts |= {"hyperparameters": list(run.tuner.hyper.names), **(facts or {})}
        rows = run.go(both)
    checkpoint.discard(run.folder)
    return rows
