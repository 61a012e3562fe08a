"""Kills a run with SIGKILL at random moments and starts it again until it ends; prints how often it was killed.

A script of its own, which forks each attempt: PyTorch is imported once, and no thread is running when it forks.
"""

import os
import random
import signal
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from deep.training.fit import record
from tests.deep.small import run, tuner

KILLS = 4
"""Of each run, at most."""


def attempt(folder: Path, slow: bool) -> int:
    """Start the run in a process of its own."""
    if child := os.fork():
        return child
    os.fsync = lambda fd: None  # a kill, unlike a power cut, needs none, and the test would wait for the disk
    save = torch.save

    def slowly(state: Any, file: Any) -> None:
        whole = BytesIO()
        save(state, whole)
        for start in range(0, len(whole.getvalue()), 6000):
            file.write(whole.getvalue()[start : start + 6000])
            file.flush()
            time.sleep(0.001)

    torch.save = slowly if slow else save
    record(run(tuner(), folder), {"seed": 0})
    os._exit(0)


def until_done(folder: Path, slow: bool, longest: float) -> int:
    """How many kills it took."""
    delays = random.Random(str(folder.name))
    for kills in range(KILLS):
        child = attempt(folder, slow)
        time.sleep(delays.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        if os.waitpid(child, 0)[1] == 0:
            return kills
    assert os.waitpid(attempt(folder, slow), 0)[1] == 0
    return KILLS


if __name__ == "__main__":
    torch.set_num_threads(1)
    tuner()  # what PyTorch imports late, once for all
    root = Path(sys.argv[1])
    begin = time.perf_counter()
    assert os.waitpid(attempt(root / "straight", slow=False), 0)[1] == 0
    once = time.perf_counter() - begin
    print(until_done(root / "quick", False, once / 2) + until_done(root / "slow", True, 2 * once))
