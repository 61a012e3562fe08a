"""A whole run in one call, and its record."""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset
from tqdm import tqdm

from deep import checkpoint
from deep.batches import Batches
from deep.evaluation import Metric
from deep.hyper.parallel import rank
from deep.run import Row, Run, Scheduler
from deep.schedule import Schedule
from deep.tuner.arguments import require_count
from deep.tuner.tuner import Tuner
from reference.command import InputWarning, UserError
from toy import records


LEAST = 0.9
"""The share of a model's parameters below which its coverage is a warning."""


def fit(
    tuner: Tuner,
    train: Dataset[Any],
    valid: Dataset[Any],
    epochs: int,
    *,
    test: Dataset[Any] | None = None,
    batch_size: int = 128,
    warm_up: int | None = None,
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
        epochs: of this call, a whole number; 0 makes the first row alone.
        warm_up: epochs of the tuner's before its first outer step; None leaves the tuner's own `warm_up`, which is in
            inner steps.
        metrics: name -> mean over examples of outputs and targets, for validation and test.

    Raises:
        UserError: what `Run` raises, counts of epochs that are no whole numbers from 0, a finished record in `out`
            (of whatever settings), or a loss that is not finite.
    """
    require_count("epochs", epochs, "epochs")
    require_count("warm_up", 0 if warm_up is None else warm_up, "epochs")
    batches = Batches(train, batch_size, seed, device=tuner.device)
    if warm_up is not None:
        tuner.warm_up = warm_up * len(batches)
    run = Run(
        tuner,
        batches,
        Batches(valid, batch_size, seed + 1, device=tuner.device),
        None if test is None else Batches(test, batch_size, seed, shuffle=False, device=tuner.device),
        epochs=epochs,
        metrics=metrics or {},
        schedulers=schedulers,
        replay=replay,
        folder=None if out is None else Path(out),
        progress=progress,
    )
    run.look()
    coverage = tuner.coverage()
    if tuner.method is not None and rank() == 0:
        if coverage.parameters < LEAST:
            warnings.warn(f"{coverage}; hyperparameters are tuned by these alone", InputWarning, stacklevel=2)
        elif progress:
            tqdm.write(str(coverage), file=sys.stderr)
    method = "plain" if tuner.method is None else tuner.method.name
    steps = {"epochs": epochs, "batch_size": batch_size, "warm_up_steps": tuner.warm_up}
    settings = {"method": method, **steps, "seed": seed}
    facts = records.provenance("torch", "numpy")
    return Schedule.of(record(run, settings, facts), tuner.hyper.names)


def record(
    run: Run,
    settings: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
    keep: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Go on with a run to its end and write its record; the checkpoint is removed last.

    Raises:
        UserError: the folder holds a finished record, of these settings or of others; or what `Run.go` raises.
    """
    if run.folder is not None:
        _refuse_finished(run.folder, settings)
    run.look()
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


def _refuse_finished(folder: Path, settings: Mapping[str, Any]) -> None:
    if not (folder / records.HISTORY).is_file():
        return
    if records.is_finished(folder, settings):
        raise UserError(f"{folder} holds this run's finished record; read it, or choose another folder")
    what = f"{folder} holds the finished record of a run with other settings"
    raise UserError(f"{what}; choose another folder, or delete this one (python -m deep: --out, or --fresh)")
