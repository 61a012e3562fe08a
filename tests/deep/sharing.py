"""Forks workers on one search and on a sweep, kills some with SIGKILL, and looks at what they have done together.

A script of its own: PyTorch is imported once, and no thread is running when it forks.
"""

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

from deep import cli, searches, sweeps
from deep.baselines import RANDOM
from deep.jobs import FIXED, Changes, Job
from deep.searches import Search
from deep.trials import Taken, Trials
from tests.deep.planted import experiment
from tests.deep.small import timeless
from toy import records

WORKERS, KILLED, TRIALS, RUNS = 4, 2, 12, 10


def workers(work: Callable[[], object]) -> None:
    """Start some, kill some of them at random moments, and wait for the rest."""
    children = []
    for _ in range(WORKERS):
        if not (child := os.fork()):
            work()
            os._exit(0)
        children.append(child)
    for child in children[:KILLED]:
        time.sleep(random.uniform(0.05, 0.3))
        os.kill(child, signal.SIGKILL)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    assert all(status == 0 for status in statuses[KILLED:]), statuses


def noted(place: Path) -> None:
    """Have every trial that is run to its end leave a line."""
    real = Trials.work

    def work(self: Trials, taken: Taken) -> None:
        real(self, taken)
        with place.open("a") as file:
            file.write(f"{taken.trial.number} {os.getpid()}\n")

    Trials.work = work


def main(root: Path) -> None:
    assert cli is not None
    assert "optuna" not in sys.modules  # needed by searches alone
    torch.set_num_threads(1)
    searches.PAUSE = sweeps.PAUSE = 0.02
    noted(root / "ends")
    common = {"experiment": experiment(epochs=6), "preset": "smoke", "method": RANDOM, "seed": 0, "trials": TRIALS}

    shared = Search(root=root / "shared", **common)
    workers(lambda: shared.run(progress=False))
    ends = [line.split() for line in (root / "ends").read_text().splitlines()]
    assert max(Counter(number for number, _ in ends).values()) == 1, ends
    assert len({worker for _, worker in ends}) > 1, ends
    alone = Search(root=root / "alone", **common).run(progress=False)
    kept = records.read(shared.folder).history
    assert [float(value) for value in kept["valid_loss"]] == [row["valid_loss"] for row in alone]

    journal = str(root / "sweep.log")
    values = [Changes(values={"rate": k / 20}) for k in range(RUNS)]
    jobs = [Job(common["experiment"], "smoke", FIXED, 0, root / "sweep", one) for one in values]
    both = [*jobs, Search(root=root / "sweep", storage=journal, **common)]
    workers(lambda: sweeps.work_off(both, journal, progress=False))
    assert all(job.is_finished() for job in both)
    again = Job(common["experiment"], "smoke", FIXED, 0, root / "again", values[3]).run(progress=False)
    rows = [line.rsplit(",", 1)[0] for line in (jobs[3].folder / "history.csv").read_text().splitlines()]
    straight = (root / "again").rglob("history.csv")
    assert rows == [line.rsplit(",", 1)[0] for line in next(straight).read_text().splitlines()]
    assert len(timeless(again)) == len(rows) - 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
