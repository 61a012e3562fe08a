"""What the trials of a search have measured, and the search's own history made of it.

file             content
rows.json        the history of a finished trial
checkpoint.pt    of one that is not

The search's clock is what its trials took one after another, proposals included, whoever ran them and when.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from deep.training import checkpoint
from deep.ledger import Trial
from deep.training.run import Row

FILE = "rows.json"


def finished(folder: Path) -> list[Row] | None:
    """A finished trial's history; None where it is not."""
    path = folder / FILE
    return json.loads(path.read_text()) if path.exists() else None


def so_far(folder: Path) -> list[Row]:
    """A trial's history, as far as it has come."""
    rows = finished(folder)
    return (checkpoint.load(folder) or {"rows": []})["rows"] if rows is None else rows


def write(folder: Path, rows: list[Row]) -> None:
    """Keep a finished trial's history; a file of this name is always whole."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{FILE}.part"
    with part.open("w") as file:
        json.dump(rows, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, folder / FILE)


def score(rows: Sequence[Row]) -> float:
    """The best validation loss; infinite where there is none.

    >>> score([{"valid_loss": 2.0}, {"valid_loss": 1.0}]), score([])
    (1.0, inf)
    """
    return min((row["valid_loss"] for row in rows), default=float("inf"))


def seconds(rows: Sequence[Row]) -> float:
    """What a trial has taken so far."""
    return rows[-1]["seconds"] if rows else 0.0


def joined(
    trials: Sequence[Trial], histories: Sequence[Sequence[Row]], most: float | None = None, clock: float = 0.0
) -> Iterator[Row]:
    """A row for each epoch of each trial, up to the first at which the search's clock has reached `most` seconds."""
    for trial, rows in zip(trials, histories, strict=True):
        begin = clock = clock + trial.notes["proposal"]
        for row in rows:
            clock = begin + row["seconds"]
            yield {**_told(trial, row), "seconds": round(clock, 3)}
            if most is not None and clock >= most:
                return


def _told(trial: Trial, row: Row) -> Row:
    measured = {name: row[name] for name in row if name == "train_loss" or name.startswith(("valid_", "test_"))}
    return {"trial": trial.number, "epoch": row["epoch"], **measured, **trial.values}
