"""Rows as TensorBoard reads them, at their epochs: a folder for a run, one in it for each trial of a search."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deep.runner.sweeps import OnRow
from deep.training.run import Row
from reference.console.command import UserError


@contextmanager
def tensorboard(folder: Path) -> Iterator[OnRow]:
    """Yield a function that writes the rows of the run in a folder; a run that goes on writes its old rows again.

    Raises:
        UserError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError("--log tensorboard needs the package: pip install '.[tensorboard]'") from None
    writers: list[SummaryWriter] = []
    with ExitStack() as stack:

        def on_row(row: Row) -> None:
            if row["epoch"] == 0:
                stack.close()
                place = folder / "tensorboard" / (f"trial-{row['trial']:04d}" if "trial" in row else "")
                shutil.rmtree(place, ignore_errors=True)
                writers[:] = [stack.enter_context(SummaryWriter(str(place)))]
            for name, value in row.items():
                writers[0].add_scalar(name, value, row["epoch"])
            writers[0].flush()

        # What a full disk does to the writer's thread `flush` raises here; the thread would print a traceback, too.
        hook = threading.excepthook
        threading.excepthook = lambda failure: None if issubclass(failure.exc_type, OSError) else hook(failure)
        try:
            yield on_row
        finally:
            threading.excepthook = hook
