"""Searches go on after anything that stops them, share their trials, and record what was measured."""

import math
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from deep.runner import searches, spaces, trials
from deep.runner.jobs import FIXED, Job
from deep.runner.searches import Search
from deep.runner.spaces import GRID, RANDOM, SEARCHES
from deep.runner.trials import Trials
from deep.training.run import Row, Run
from reference.console import records
from reference.console.command import UserError
from tests.deep.runner.planted import experiment
from tests.deep.runner.test_spaces import proposal
from tests.deep.small import Killed, history, killed_at, timeless


def search(root: Path, method: str = RANDOM, seed: int = 0, trials: int | None = 3, **kwargs: Any) -> Search:
    kwargs = {"experiment": experiment(), "preset": "smoke"} | kwargs
    return Search(method=method, seed=seed, root=root, trials=trials, **kwargs)


def attempts(job: Search) -> list[tuple[int, TrialState]]:
    """Number and state of every trial of the study, in the order of their beginnings."""
    return [(trial.user_attrs["number"], trial.state) for trial in job._study().get_trials()]


# What is recorded.


@pytest.mark.parametrize("method", SEARCHES)
def test_a_record_holds_what_plain_runs_at_its_values_measure(method, tmp_path):
    job = search(tmp_path, method)
    losses = ["train_loss", "valid_loss", "test_loss"]
    rows = job.run(progress=False)
    assert job.is_finished()
    record = records.read(job.folder)
    assert list(record.history) == ["trial", "epoch", *losses, "rate", "holes", "seconds"]
    assert record.facts["hyperparameters"] == ["rate", "holes"]
    assert [(row["trial"], row["epoch"]) for row in rows] == [(k, epoch) for k in range(3) for epoch in range(3)]
    for k in range(3):
        trial = [row for row in rows if row["trial"] == k]
        values = {"rate": trial[0]["rate"], "holes": trial[0]["holes"]}
        plain = Job(experiment(), "smoke", FIXED, 0, tmp_path, {"values": values}).run(progress=False)
        for name in losses:
            np.testing.assert_array_equal([row[name] for row in trial], [row[name] for row in plain])
    assert record.facts["best"]["valid_loss"] == record.history["valid_loss"].min()
    assert record.facts["best"]["trial"] == record.history["trial"][record.history["valid_loss"].argmin()]
    assert (np.diff(record.history["seconds"]) >= 0).all()


def test_the_values_are_the_proposals(tmp_path):
    for method in (RANDOM, GRID):
        rows = search(tmp_path, method).run(progress=False)
        for row in rows:
            assert {name: row[name] for name in ("rate", "holes")} == proposal(method, 0, row["trial"])


def test_a_grid_ends_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(spaces, "POINTS", 2)
    rows = search(tmp_path, GRID, trials=None).run(progress=False)
    points = [(row["rate"], row["holes"]) for row in rows if row["epoch"] == 0]
    assert points == [(0, 0), (0, 4), (0.85, 0), (0.85, 4)]


@pytest.mark.parametrize(("limit", "count"), [(math.inf, 4), (2.0, 3), (1.6, 2)])
def test_the_clock_runs_on_through_trials_and_stops_at_the_limit(limit, count):
    study = optuna.create_study()
    for k, begin in enumerate((0.6, 0.45)):
        rows = {f"epoch {e}": {"epoch": e, "seconds": begin + e} for e in (1, 0)}
        study.add_trial(create_trial(value=0.0, user_attrs={"number": k, **rows}))
    never = {"prepare": lambda values: 1 / 0, "propose": lambda number, trial: {}, "on_row": lambda row: None}
    rows = Trials(study, Path(), count=math.inf, seconds=limit, **never).rows()
    clock = [row["seconds"] for row in rows]
    np.testing.assert_allclose(clock, [0.6, 1.6, 1.6 + 0.45, 1.6 + 1.45][:count], rtol=1e-12)


def test_rows_are_seen_as_they_are_made_and_are_the_records(tmp_path):
    seen: list[Row] = []
    assert timeless(search(tmp_path).run(False, seen.append)) == timeless(seen)
    more: list[Row] = []
    rows = search(tmp_path, trials=4).run(False, more.append)
    assert timeless(more) == timeless(rows[-3:])


def test_time_that_is_up_cuts_the_last_trial_which_more_time_runs_again(tmp_path):
    lengthy = {"experiment": experiment(epochs=1000), "trials": None}
    first = search(tmp_path, seconds=0.3, **lengthy)
    short = first.run(progress=False)
    clock = [row["seconds"] for row in short]
    assert clock[-2] < 0.3 <= clock[-1]
    assert {row["trial"] for row in short} == {0}
    longer = search(tmp_path, seconds=2 * clock[-1], **lengthy)
    assert not longer.is_finished()
    rows = longer.run(progress=False)
    assert [row["epoch"] for row in rows] == list(range(len(rows)))
    assert len(short) < len(rows) < 1000
    assert timeless(rows[: len(short)]) == timeless(short)
    assert attempts(longer) == [(0, TrialState.PRUNED)] * 2


def test_more_trials_go_on_from_those_there_are_and_fewer_are_read_off(tmp_path, monkeypatch):
    two = search(tmp_path, trials=2).run(progress=False)
    prepared, real = [], Job.prepare
    monkeypatch.setattr(Job, "prepare", lambda job, progress=True: prepared.append(job) or real(job, progress))
    four = search(tmp_path, trials=4).run(progress=False)
    assert len(prepared) == 1 + 2  # the space, and two trials
    assert timeless(four[: len(two)]) == timeless(two)
    assert timeless(search(tmp_path, trials=2).run(progress=False)) == timeless(two)
    assert len(prepared) == 1 + 2 + 1


def test_a_trial_that_diverges_counts_with_what_it_reached_and_the_search_goes_on(tmp_path):
    rows = search(tmp_path, experiment=experiment(worst=0.4), trials=8).run(progress=False)
    rates = [proposal(RANDOM, 0, number)["rate"] for number in range(8)]
    assert {row["trial"] for row in rows} == {number for number, rate in enumerate(rates) if rate <= 0.4}
    assert 0 < len({row["trial"] for row in rows}) < 8
    with pytest.raises(UserError, match="no trial began with a finite loss"):
        search(tmp_path / "worst", experiment=experiment(worst=-1.0), trials=2).run(progress=False)


# What stops it.

STOPS = [
    (optuna.Study, "ask"),
    (optuna.Trial, "set_user_attr"),
    (RDBStorage, "create_new_trial"),
    (FileLock, "acquire"),
    (Trials, "_next"),
    (Trials, "_train"),
    (Run, "_train_epoch"),
    (records.Writer, "row"),
]


@cache
def uninterrupted(method: str) -> list[list[str]]:
    with TemporaryDirectory() as folder:
        job = search(Path(folder), method)
        job.run(progress=False)
        return history(job.folder)


@given(st.sampled_from(STOPS), st.integers(1, 12), st.sampled_from(SEARCHES))
@settings(max_examples=8)
def test_a_search_that_was_killed_ends_with_the_same_numbers(stop, call, method):
    with TemporaryDirectory() as folder:
        job = search(Path(folder), method)
        with killed_at(call, *stop):
            job.run(progress=False)
        if not job.is_finished():
            job.run(progress=False)
        assert history(job.folder) == uninterrupted(method)


@pytest.mark.parametrize("error", [Killed, KeyboardInterrupt, UserError])
def test_ended_trials_are_not_run_again_and_one_that_was_stopped_is_from_its_beginning(tmp_path, error):
    job = search(tmp_path)
    with killed_at(2 * 1 + 2, Run, "_train_epoch", error):  # in the second epoch of the second trial
        job.run(progress=False)
    seen: list[Row] = []
    job.run(False, seen.append)
    assert [(row["trial"], row["epoch"]) for row in seen] == [(k, epoch) for k in (1, 2) for epoch in range(3)]
    ended = TrialState.COMPLETE
    assert attempts(job) == [(0, ended), (1, TrialState.FAIL), (1, ended), (2, ended)]


def test_a_folder_made_anew_begins_anew_in_the_same_storage(tmp_path):
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    first = search(tmp_path / "runs", storage=storage).run(progress=False)
    (tmp_path / "runs").rename(tmp_path / "old")
    seen: list[Row] = []
    search(tmp_path / "runs", storage=storage).run(False, seen.append)
    assert timeless(first) == timeless(seen)


def test_a_trial_of_another_worker_is_waited_for_and_run_again_once_that_worker_has_died(tmp_path, monkeypatch):
    job = search(tmp_path, trials=1)
    with killed_at(1, Run, "_train_epoch"):
        job.run(progress=False)
    other = FileLock(job.folder / "trials" / "0.lock")
    other.acquire()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        assert attempts(job) == [(0, TrialState.RUNNING)]
        if len(waits) == 3:
            other.release()

    monkeypatch.setattr(trials.time, "sleep", sleep)
    job.run(progress=False)
    assert len(waits) == 3
    assert attempts(job) == [(0, TrialState.FAIL), (0, TrialState.COMPLETE)]


def test_a_trial_that_ends_while_it_is_looked_at_is_not_run_again(tmp_path, monkeypatch):
    job = search(tmp_path, trials=1)
    train, real = Trials._train, Trials._lock

    def die_at_the_end(*args: Any) -> None:
        train(*args)
        raise Killed

    monkeypatch.setattr(Trials, "_train", die_at_the_end)
    with pytest.raises(Killed):
        job.run(progress=False)
    monkeypatch.setattr(Trials, "_train", train)
    study = job._study()

    def end_first(trials: Trials, trial: Any) -> FileLock:
        if study.trials[0].state == TrialState.RUNNING:
            study.tell(0, 1.0)
        return real(trials, trial)

    monkeypatch.setattr(Trials, "_lock", end_first)
    assert len(job.run(progress=False)) == 3
    assert attempts(job) == [(0, TrialState.COMPLETE)]


def test_trials_of_another_search_are_not_taken_for_its_own(tmp_path):
    search(tmp_path).run(progress=False)
    with pytest.raises(UserError, match="holds trials of another search"):
        search(tmp_path, experiment=experiment(epochs=3)).run(progress=False)


def damage_database(trials: Path) -> None:
    (trials / "optuna.db").write_bytes(b"no database " * 1000)


def cut_database(trials: Path) -> None:
    content = (trials / "optuna.db").read_bytes()
    (trials / "optuna.db").write_bytes(content[: len(content) // 3])


def garble_rows(trials: Path) -> None:
    connection = sqlite3.connect(trials / "optuna.db")
    with connection:
        connection.execute("UPDATE trial_user_attributes SET value_json = '{'")
    connection.close()


def empty_name(trials: Path) -> None:
    (trials / "study").write_bytes(b"")


def garble_name(trials: Path) -> None:
    (trials / "study").write_bytes(b"\xff\xfe")


@pytest.mark.parametrize("damage", [damage_database, cut_database, garble_rows, empty_name, garble_name])
def test_a_damaged_file_is_one_line_with_the_folders_name_and_without_it_the_search_begins_afresh(damage, tmp_path):
    job = search(tmp_path, trials=1)
    rows = job.run(progress=False)
    damage(job.folder / "trials")
    more = replace(job, trials=2)
    with pytest.raises(UserError, match=r"seed-0/trials cannot be used .*\); run again, or delete it") as caught:
        more.run(progress=False)
    assert "\n" not in str(caught.value)
    shutil.rmtree(job.folder / "trials")
    assert timeless(more.run(progress=False))[: len(rows)] == timeless(rows)


@pytest.mark.parametrize("storage", ["nowhere://x", "work.log", "sqlite:////no/such/folder/x.db"])
def test_a_storage_that_cannot_be_used_is_one_line(storage, tmp_path):
    with pytest.raises(UserError, match=f"storage '{storage}' cannot be used .* URL such as sqlite:///FILE") as caught:
        search(tmp_path, storage=storage).run(progress=False)
    assert "\n" not in str(caught.value)


def test_processes_of_one_group_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(searches, "processes", lambda: 2)
    with pytest.raises(UserError, match="start several workers instead of torchrun"):
        search(tmp_path).run(progress=False)


def test_workers_share_searches_and_runs_though_some_are_killed(tmp_path):
    """See tests/deep/runner/sharing.py."""
    subprocess.run([sys.executable, "-m", "tests.deep.runner.sharing", str(tmp_path)], check=True, timeout=120)
