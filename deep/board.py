"""Rows as TensorBoard reads them, at their epochs: a file for a run, a folder and file for each trial of a search.

TensorBoard's own writer has a thread, which answers a full disk with a traceback. Here a row is on the disk, or an
OSError, before the next one comes.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from deep.training.run import Row
from deep.sweeps import Keep
from reference.command import UserError

FILE = "events.out.tfevents"
"""One name for all: workers on one search write the same rows of a trial, and so the same file."""


@contextmanager
def board(folder: Path) -> Iterator[Keep]:
    """What is told each row of the run in a folder.

    Raises:
        UserError: TensorBoard is not installed.
    """
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)  # the old rows come again
    with ExitStack() as opened:
        told: dict[int | None, Keep] = {}

        def keep(row: Row) -> None:
            trial = row.get("trial")
            if trial not in told:
                opened.close()
                told.clear()
                place = folder / "tensorboard" / ("" if trial is None else f"trial-{trial:04d}")
                told[trial] = opened.enter_context(_file(place))
            told[trial](row)

        yield keep


@contextmanager
def _file(folder: Path) -> Iterator[Keep]:
    try:
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError:
        raise UserError("--log tensorboard needs the package: pip install '.[tensorboard]'") from None
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("wb") as file:
        writer = RecordWriter(file)

        def write(**content: Any) -> None:
            writer.write(Event(wall_time=time.time(), **content).SerializeToString())
            writer.flush()

        def keep(row: Row) -> None:
            values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items()]
            write(step=row["epoch"], summary=Summary(value=values))

        write(file_version="brain.Event:2")
        yield keep
