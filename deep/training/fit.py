"""A whole run in one call, and its record."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset

from deep.hyper.parallel import rank
from deep.training import checkpoint
from deep.training.evaluation import Metric
from deep.training.loader import source
from deep.training.run import Row, Run, Scheduler
from deep.training.schedule import Schedule
from deep.training.terminal import show
from deep.tuner.arguments import require_count
from deep.tuner.gradients import Evaluation
from deep.tuner.tuner import Tuner
from reference.console import records
from reference.console.command import InputWarning, UserError

LEAST = 0.9
"""The share of a model's parameters below which its coverage is a warning."""

Data = Dataset[Any] | DataLoader[Any]


def fit(
    tuner: Tuner,
    train: Data,
    valid: Data,
    epochs: int,
    *,
    test: Data | None = None,
    batch_size: int = 128,
    accumulate: int = 1,
    warm_up: int | None = None,
    metrics: Mapping[str, Metric] | None = None,
    schedulers: Sequence[Scheduler] = (),
    step_schedulers: Sequence[Scheduler] = (),
    on_epoch: Callable[[Row], object] = lambda row: None,
    on_step: Callable[[Evaluation], object] = lambda seen: None,
    replay: Schedule | None = None,
    out: Path | str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Schedule:
    """Train and tune for a number of epochs; returns the schedule.

    With `out`, the folder gets a record (`reference/console/records.py`'s format) and, until the run is finished, a
    checkpoint: the same call goes on after a kill, with the same numbers (of a DataLoader as far as `Loader` says).

    Args:
        train, valid, test: map-style datasets, or DataLoaders; of (input, target), or of dictionaries, which are the
            input whole and whose `labels` are the target.
        batch_size: of datasets, in training and in validation; a DataLoader has its own.
        accumulate: batches in one step, with the memory of one batch (`Tuner.inner_step_over`).
        epochs: of this call, a whole number; 0 makes the first row alone.
        warm_up: epochs of the tuner's before its first outer step; None leaves the tuner's own `warm_up`, which is in
            inner steps.
        metrics: name -> mean over examples of outputs and targets, for validation and test.
        schedulers, step_schedulers: stepped at the end of each epoch, and after each inner step.
        on_epoch: sees each row of the record; of a run that goes on the old ones first.
        on_step: sees what each inner step returns.
        seed: of the order of datasets; a DataLoader has its own.

    Raises:
        UserError: what `Run` raises, sizes, seeds or counts of a wrong kind, a finished record in `out` (of whatever
            settings), an `out` that is no folder, or a loss that is not finite.
    """
    for name, count, unit, least in (
        ("epochs", epochs, "epochs", 0),
        ("warm_up", warm_up or 0, "epochs", 0),
        ("batch_size", batch_size, "examples", 1),
        ("accumulate", accumulate, "batches", 1),
    ):
        require_count(name, count, unit, least)
    if not isinstance(seed, Integral):
        raise UserError(f"seed={seed!r} is not a whole number")
    if out is not None and (not str(out) or Path(out).is_file()):
        raise UserError(
            f"out={str(out)!r} is not a folder; name one, new or of this run, or leave it out for no record"
        )
    run = Run(
        tuner,
        source(train, batch_size, seed, tuner.device),
        source(valid, batch_size, seed + 1, tuner.device),
        None if test is None else source(test, batch_size, seed, tuner.device, shuffle=False),
        epochs=epochs,
        accumulate=accumulate,
        metrics=metrics or {},
        schedulers=schedulers,
        step_schedulers=step_schedulers,
        on_step=on_step,
        replay=replay,
        folder=None if out is None else Path(out),
        progress=progress,
    )
    if warm_up is not None:
        if run.steps is None:
            raise UserError(
                "warm_up is in epochs, and this DataLoader has no length; give the Tuner its warm_up in steps"
            )
        tuner.warm_up = warm_up * run.steps
    run.look()
    report_coverage(tuner, progress)
    method = "plain" if tuner.method is None else tuner.method.name
    steps = {"epochs": epochs, "batch_size": batch_size, "accumulate": accumulate, "warm_up_steps": tuner.warm_up}
    settings = {"method": method, **steps, "seed": seed}
    facts = records.provenance("torch", "numpy")
    return Schedule.of(record(run, settings, facts, on_epoch), tuner.hyper.names)


def report_coverage(tuner: Tuner, progress: bool = True) -> None:
    """Say which share of the model responds; where it is small, as a warning."""
    coverage = tuner.coverage()
    if tuner.method is None or rank() > 0:
        return
    if coverage.parameters < LEAST:
        warnings.warn(f"{coverage}; hyperparameters are tuned by these alone", InputWarning, stacklevel=3)
    elif progress:
        show(str(coverage))


def record(
    run: Run,
    settings: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
    on_row: Callable[[Row], object] = lambda row: None,
) -> list[Row]:
    """Go on with a run to its end and write its record; the checkpoint is removed last.

    Raises:
        UserError: the folder holds a finished record, of these settings or of others; or what `Run.run` raises.
    """
    if run.folder is not None:
        _refuse_finished(run.folder, settings)
    run.look()
    if run.folder is None or rank() > 0:
        return run.run(on_row)

    def write(row: Row) -> None:
        writer.row(row)
        on_row(row)

    with records.Writer(run.folder, settings) as writer:
        writer.facts |= {"hyperparameters": list(run.tuner.hyper.names), **(facts or {})}
        rows = run.run(write)
    checkpoint.discard(run.folder)
    return rows


def _refuse_finished(folder: Path, settings: Mapping[str, Any]) -> None:
    if not (folder / records.HISTORY).is_file():
        return
    if records.is_finished(folder, settings):
        raise UserError(f"{folder} holds this run's finished record; read it, or choose another folder")
    problem = f"{folder} holds the finished record of a run with other settings"
    raise UserError(f"{problem}; choose another folder, or delete this one (python -m deep: --out, or --fresh)")
