"""Forks workers on one search and on a sweep, kills some with SIGKILL, and looks at what they have done together.

A script of its own: PyTorch is imported once, and no thread is running when it forks.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from optuna.trial import TrialState

from deep.runner import sweeps, trials
from deep.runner.jobs import FIXED, Job
from deep.runner.searches import Search
from deep.runner.spaces import RANDOM
from tests.deep.runner.planted import experiment
from tests.deep.small import history, timeless

WORKERS, KILLED, TRIALS, RUNS = 4, 2, 9, 6


def workers(work: Callable[[], object]) -> None:
    """Start some, kill some of them at random moments, and wait for the others."""
    children = []
    for _ in range(WORKERS):
        if not (child := os.fork()):
            work()
            os._exit(0)
        children.append(child)
    for child in children[:KILLED]:
        time.sleep(random.uniform(0.2, 0.8))
        os.kill(child, signal.SIGKILL)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    assert all(status == 0 for status in statuses[KILLED:]), statuses


def main(root: Path) -> None:
    torch.set_num_threads(1)
    trials.PAUSE = sweeps.PAUSE = 0.02
    quick = experiment(epochs=6)

    shared = Search(quick, "smoke", RANDOM, 0, root / "shared", trials=TRIALS)
    workers(lambda: shared.run(progress=False))
    begun = [trial for trial in shared._study().get_trials() if "number" in trial.user_attrs]
    ended = [trial.user_attrs["number"] for trial in begun if trial.state == TrialState.COMPLETE]
    assert sorted(ended) == list(range(TRIALS)), ended
    assert all(trial.state in (TrialState.COMPLETE, TrialState.FAIL) for trial in begun)
    alone = Search(quick, "smoke", RANDOM, 0, root / "alone", trials=TRIALS)
    alone.run(progress=False)
    assert history(shared.folder) == history(alone.folder)

    jobs = [Job(quick, "smoke", FIXED, 0, root / "sweep", {"values": {"rate": k / 20}}) for k in range(RUNS)]
    storage = f"sqlite:///{root / 'sweep.db'}"
    both = [*jobs, Search(quick, "smoke", RANDOM, 0, root / "sweep", trials=TRIALS, storage=storage)]
    workers(lambda: sweeps.run_all(both, progress=False))
    assert all(job.is_finished() for job in both)
    again = Job(quick, "smoke", FIXED, 0, root / "again", jobs[3].changes)
    assert len(timeless(again.run(progress=False))) == len(history(jobs[3].folder)) - 1
    assert history(again.folder) == history(jobs[3].folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
