"""A sweep does each run once, whoever else is at it, and a run that fails does not keep the others from being done."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from deep.runner import sweeps
from deep.runner.jobs import FIXED, Job
from deep.runner.searches import Search
from deep.runner.sweeps import run_all
from deep.tuner.diagnosis import NotFinite
from reference.console.command import UserError
from tests.deep.runner.planted import experiment


def jobs(root: Path, worst: float = 1.0) -> list[Job]:
    """Three plain runs at rates of 0.1, 0.3 and 0.5, one that tunes, and a search."""
    planted = experiment(worst)
    plain = [Job(planted, "smoke", FIXED, seed, root, {"values": {"rate": 0.1 + 0.2 * seed}}) for seed in range(3)]
    return [
        *plain,
        Job(planted, "smoke", "delta-stn", 0, root),
        Search(experiment(), "smoke", "random-search", 0, root, trials=3),
    ]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of the runs that were begun."""
    folders: list[Path] = []
    for kind in (Job, Search):
        real = kind.run

        def run(job: Job, *args: Any, real: Any = real, **kwargs: Any) -> Any:
            folders.append(job.folder)
            return real(job, *args, **kwargs)

        monkeypatch.setattr(kind, "run", run)
    return folders


def test_run_all_does_each_run_once(tmp_path, ran):
    todo = jobs(tmp_path)
    todo[1].run(progress=False)
    for _ in range(2):
        run_all(todo, progress=False)
    assert ran == [todo[k].folder for k in (1, 0, 2, 3, 4)]
    assert all(job.is_finished() for job in todo)


def test_a_run_that_is_listed_twice_is_done_once_and_tried_once(tmp_path, ran):
    todo = jobs(tmp_path, worst=0.2)[:3]
    with pytest.raises(UserError, match="first of 2 runs that failed"):
        run_all([*todo, *todo], progress=False)
    assert ran == [job.folder for job in todo]
    more = replace(todo[0], seed=9)
    run_all([more, replace(more, device="cpu:0")], progress=False)
    assert ran[3:] == [more.folder]


def test_a_run_that_fails_leaves_the_others_to_be_done(tmp_path):
    todo = jobs(tmp_path, worst=0.2)
    with pytest.raises(UserError, match=r"not finite.*first of 2 runs that failed"):
        run_all(todo, progress=False)
    assert [job.is_finished() for job in todo] == [True, False, False, True, True]


def test_a_process_that_fails_alone_ends_for_the_others_may_wait_for_it_and_all_go_on_where_all_diverge(
    tmp_path, monkeypatch
):
    todo = jobs(tmp_path)[:3]
    monkeypatch.setattr(sweeps, "processes", lambda: 2)
    for error, count in ((UserError("no space"), 1), (NotFinite("not finite"), 3)):
        tried = []

        def fail(job: Job, *args: Any, error=error, tried=tried):
            tried.append(job)
            raise error

        monkeypatch.setattr(Job, "run", fail)
        with pytest.raises(UserError, match=str(error)):
            run_all(todo, progress=False)
        assert len(tried) == count


def test_a_run_that_another_worker_does_is_left_for_the_last_and_waited_for(tmp_path, monkeypatch, ran):
    todo = jobs(tmp_path)[:2]
    path = tmp_path / ".locks" / todo[0].folder.relative_to(tmp_path).with_suffix(".lock")
    path.parent.mkdir(parents=True)
    other, waits = FileLock(path), []
    other.acquire()

    def sleep(seconds: float) -> None:
        assert [job.is_finished() for job in todo] == [False, True]
        waits.append(seconds)
        if len(waits) == 3:
            other.release()  # the other has died

    monkeypatch.setattr(sweeps.time, "sleep", sleep)
    run_all(todo, progress=False)
    assert len(waits) == 3
    assert ran == [todo[1].folder, todo[0].folder]
    assert todo[0].is_finished()


def test_a_run_that_another_worker_has_done_meanwhile_is_not_done_again(tmp_path, monkeypatch, ran):
    [job] = jobs(tmp_path)[:1]
    real = sweeps._locked

    def done_meanwhile(job: Job) -> Any:
        replace(job, device="cpu:0").run(progress=False)
        return real(job)

    monkeypatch.setattr(sweeps, "_locked", done_meanwhile)
    run_all([job], progress=False)
    assert len(ran) == 1
