"""Ctrl-C that waits for the end of a step, so that what has been done until then can be kept; a second one does not."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held() -> Iterator[Callable[[], bool]]:
    """Inside the block Ctrl-C is only noted: the function that is yielded says whether it has come.

    Where somebody else answers interrupts, or outside the main thread, nothing changes.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    come = threading.Event()

    def note(_signal: int, _frame: FrameType | None) -> None:
        if come.is_set():
            raise KeyboardInterrupt
        come.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield come.is_set
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
