"""Searches draw what they should, go on after anything that stops them, share work, and record what was measured."""

import os
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages.journal import JournalFileSymlinkLock
from scipy.stats import kstest

from deep import ledger, sweeps, trial_history, trials
from deep.baselines import BAYES, GRID, RANDOM, SEARCHES, Range, grid, propose, space
from deep.hyper.declared import Hyperparameter
from deep.tuner.diagnosis import NotFinite
from deep.experiments import EXPERIMENTS
from deep.jobs import FIXED, Changes, Job
from deep.ledger import Ledger, Trial
from deep.training.run import Row
from deep.searches import Search
from deep.sweeps import work_off
from deep.trials import Rest, Taken, Trials
from reference.command import UserError
from tests.deep.planted import HOLES, RATE, bowl, experiment
from tests.deep.small import killed_at, timeless
from toy import records

SPACE = space("planted", [RATE, HOLES])
seeds = st.integers(0, 2**31 - 1)
searches = pytest.mark.parametrize("method", SEARCHES)


def search(root: Path, method: str = RANDOM, seed: int = 0, trials: int | None = 3, **kwargs: Any) -> Search:
    kwargs = {"experiment": experiment(), "preset": "smoke"} | kwargs
    return Search(method=method, seed=seed, root=root, trials=trials, **kwargs)


def scored(values: Sequence[Mapping[str, float]]) -> list[Trial]:
    return [Trial(k, k, own, bowl(**own), {}) for k, own in enumerate(values)]


def history(folder: Path) -> list[list[str]]:
    """history.csv without its seconds, which are the last column."""
    return [line.split(",")[:-1] for line in (folder / "history.csv").read_text().splitlines()]


# What is searched.

H2_AUGMENTATION = {
    "brightness": (0, 1), "contrast": (0, 1), "saturation": (0, 1), "hue": (0, 0.5), "rotation": (0, 45),
    "shear": (0, 45), "scale": (0, 0.5), "translation": (0, 0.5), "cutout_holes": (0, 4), "cutout_length": (0, 24),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "rates", "highest", "others"),
    [
        ("mnist-mlp", 3, 0.85, {}),
        ("fmnist-cnn", 4, 0.85, {name: H2_AUGMENTATION[name] for name in ("cutout_holes", "cutout_length")}),
        ("cifar-alexnet", 8, 0.85, H2_AUGMENTATION),
        ("ptb-lstm", 5, 0.75, {"ar": (0, 4), "tar": (0, 4)}),
    ],
)
def test_the_spaces_are_those_of_h2_and_h3(name, rates, highest, others):
    one = EXPERIMENTS[name]
    declared = one.build(one.presets["smoke"], None, 0, None, torch.device("cpu")).hyper.declared
    found = space(name, declared)
    assert {key: (one.low, one.high) for key, one in found.items() if key in others} == others
    rest = {key: one for key, one in found.items() if key not in others}
    assert list(rest.values()) == [Range(0.0, highest)] * rates
    assert [key for key, one in found.items() if one.whole] == [key for key in others if "cutout" in key]


def test_a_space_leaves_out_what_is_given_and_needs_bounds():
    assert list(space("planted", [RATE, HOLES], given=["rate"])) == ["holes"]
    with pytest.raises(UserError, match="nothing to search"):
        space("planted", [RATE], given=["rate"])
    with pytest.raises(UserError, match="'decay' has no two bounds"):
        space("planted", [Hyperparameter("decay", start=0.1)])


@given(seeds)
@settings(max_examples=3)
def test_random_search_draws_uniformly_and_independently(seed):
    drawn = [propose(RANDOM, SPACE, seed, number) for number in range(400)]
    rates, holes = (np.array([one[name] for one in drawn]) for name in SPACE)
    assert kstest(rates / 0.85, "uniform").pvalue > 1e-6
    assert set(holes) == {0, 1, 2, 3, 4}
    # six standard errors of a multinomial count, and of a correlation
    assert np.abs(np.bincount(holes.astype(int)) - 80).max() < 6 * 8
    for one, other in ((rates, holes), (rates[1:], rates[:-1]), (holes[1:], holes[:-1])):
        assert abs(np.corrcoef(one, other)[0, 1]) < 6 / 20


@searches
def test_every_value_is_one_that_the_experiment_takes(method):
    points = grid(SPACE, {}) if method == GRID else [propose(method, SPACE, 1, k) for k in range(20)]
    for values in points:
        assert 0 <= values["rate"] <= 0.85
        assert values["holes"] in range(5)


@given(seeds, st.integers(0, 50))
def test_random_search_depends_on_seed_and_number_alone(seed, number):
    once = propose(RANDOM, SPACE, seed, number)
    assert once == propose(RANDOM, SPACE, seed, number, scored([{"rate": 0.5, "holes": 1}]))
    assert once != propose(RANDOM, SPACE, seed, number + 1)
    assert once != propose(RANDOM, SPACE, seed + 1, number)


def best_of(method: str, seed: int, count: int) -> float:
    done: list[Trial] = []
    for number in range(count):
        done = scored([*(one.values for one in done), propose(method, SPACE, seed, number, done)])
    return min(one.score or 0.0 for one in done)


def test_bayesian_optimisation_finds_a_lower_loss_than_random_search_in_as_many_trials():
    seeds = range(3)
    assert np.median([best_of(BAYES, seed, 8) for seed in seeds]) < 0.2 * np.median(
        [best_of(RANDOM, seed, 8) for seed in seeds]
    )


def test_bayesian_optimisation_depends_on_the_scores_and_on_nothing_that_was_drawn_before():
    done = scored([propose(RANDOM, SPACE, 0, k) for k in range(11)])
    once = propose(BAYES, SPACE, 0, 11, done)
    propose(BAYES, SPACE, 5, 3, done)
    assert once == propose(BAYES, SPACE, 0, 11, done)
    mirrored = [replace(one, score=bowl(0.85 - one.values["rate"], one.values["holes"])) for one in done]
    assert once != propose(BAYES, SPACE, 0, 11, mirrored)
    waiting = Trial(11, 11, once, None, {})
    diverged = replace(done[0], score=float("inf"))
    assert once != propose(BAYES, SPACE, 0, 12, [*done, waiting])
    assert 0 <= propose(BAYES, SPACE, 0, 11, [diverged, *done[1:]])["rate"] <= 0.85


@given(seeds)
@settings(max_examples=5)
def test_bayesian_optimisation_models_from_the_third_trial_on(seed):
    done: list[Trial] = []
    for number in range(3):
        mirrored = [replace(one, score=-(one.score or 0.0)) for one in done]
        once, other = (propose(BAYES, SPACE, seed, number, before) for before in (done, mirrored))
        assert (once == other) == (number < 2)
        done = scored([*(one.values for one in done), once])
    waiting = replace(done[1], score=None)
    assert propose(BAYES, SPACE, seed, 2, [done[0], waiting]) == propose(BAYES, SPACE, seed, 2)


@given(seeds, st.integers(0, 50))
def test_bayesian_optimisation_starts_with_draws_of_its_own(seed, number):
    assert propose(BAYES, SPACE, seed, number)["rate"] != propose(RANDOM, SPACE, seed, number)["rate"]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_a_grid_has_every_combination_once(counts):
    given = {f"x{k}": [j / 5 for j in range(count)] for k, count in enumerate(counts)}
    points = [tuple(one.values()) for one in grid({name: Range(0.0, 1.0) for name in given}, given)]
    assert len(points) == len(set(points)) == np.prod(counts)
    assert all(value in own for point in points for value, own in zip(point, given.values(), strict=True))


def test_a_grid_of_one_drop_rate_has_ten_points_from_end_to_end():
    points = [one["drop_input"] for one in grid({"drop_input": Range(0.0, 0.85)}, {})]
    np.testing.assert_allclose(np.diff(points), 0.85 / 9, rtol=1e-12)
    assert (points[0], points[-1]) == (0, 0.85)


def test_a_grid_that_cannot_be_is_refused():
    with pytest.raises(UserError, match="has 10000 trials, more than 1000"):
        grid({name: Range(0.0, 1.0) for name in "abcd"}, {})
    with pytest.raises(UserError, match="'c' is not searched; there are a, b"):
        grid({name: Range(0.0, 1.0) for name in "ab"}, {"c": [0.1]})
    for points in ([], [1.1]):
        with pytest.raises(UserError, match=r"give 'a' points from 0.0 to 1.0"):
            grid({"a": Range(0.0, 1.0)}, {"a": points})
    with pytest.raises(UserError, match=r"give 'a' whole numbers from 0.0 to 4.0"):
        grid({"a": Range(0.0, 4.0, whole=True)}, {"a": [1.5]})


# What is recorded.


@searches
def test_a_record_holds_what_plain_runs_at_its_values_measure(method, tmp_path):
    one = search(tmp_path, method, grid={"rate": [0.0, 0.4], "holes": [1.0, 3.0]} if method == GRID else {})
    losses = ["train_loss", "valid_loss", "test_loss"]
    rows = one.run(progress=False)
    assert one.is_finished()
    record = records.read(one.folder)
    assert list(record.history) == [
        "trial",
        "epoch",
        "train_loss",
        "valid_loss",
        "test_loss",
        "rate",
        "holes",
        "seconds",
    ]
    assert [(row["trial"], row["epoch"]) for row in rows] == [(k, epoch) for k in range(3) for epoch in range(3)]
    for k in range(3):
        own = [row for row in rows if row["trial"] == k]
        values = {"rate": own[0]["rate"], "holes": own[0]["holes"]}
        plain = Job(experiment(), "smoke", FIXED, 0, tmp_path, Changes(values=values)).run(progress=False)
        for name in losses:
            np.testing.assert_array_equal([row[name] for row in own], [row[name] for row in plain])
    assert record.facts["best"]["valid_loss"] == record.history["valid_loss"].min()
    assert record.facts["best"]["trial"] == record.history["trial"][record.history["valid_loss"].argmin()]
    assert (np.diff(record.history["seconds"]) >= 0).all()


def test_the_clock_runs_on_through_trials_and_proposals():
    two = [Trial(k, k, {}, 0.0, {"proposal": p}) for k, p in enumerate((0.5, 0.25))]
    histories: list[list[Row]] = [[{"epoch": e, "seconds": s + e} for e in range(2)] for s in (0.1, 0.2)]
    clock = [row["seconds"] for row in trial_history.joined(two, histories)]
    np.testing.assert_allclose(clock, [0.6, 1.6, 1.6 + 0.25 + 0.2, 1.6 + 0.25 + 1.2], rtol=1e-12)
    assert len(list(trial_history.joined(two, histories, most=2.0))) == 3
    assert len(list(trial_history.joined(two, histories, most=1.6))) == 2


def test_rows_are_told_as_trials_end_and_are_the_records(tmp_path, monkeypatch):
    told: list[Row] = []
    seen, real = [], Trials.work
    monkeypatch.setattr(Trials, "work", lambda *args: seen.append(len(told)) or real(*args))
    assert timeless(search(tmp_path).run(False, told.append)) == timeless(told)
    assert seen == [0, 3, 6]
    again: list[Row] = []
    more = search(tmp_path, trials=4)
    assert more.run(False, again.append) == again
    assert seen == [0, 3, 6, 9]


def test_rows_are_told_in_the_order_of_trials_however_they_end(tmp_path):
    one = search(tmp_path, trials=2)._trials()
    first, second = one.take(), one.take()
    assert isinstance(first, Taken)
    assert isinstance(second, Taken)
    one.work(second)
    assert one.ended() == 0
    one.work(first)
    assert one.ended() == 2
    assert one.rows(0, 1) + one.rows(1) == one.rows()


def test_of_a_search_that_time_cuts_every_row_is_told_once(tmp_path):
    lengthy, told = experiment(epochs=50), list[Row]()
    begun = search(tmp_path, experiment=lengthy, trials=2).run(progress=False)
    cut = search(tmp_path, experiment=lengthy, trials=None, seconds=begun[-1]["seconds"] + 0.001)
    rows = cut.run(False, told.append)
    assert len(begun) < len(rows) < 3 * 51
    assert timeless(told) == timeless(rows)
    assert [row["seconds"] for row in told] == pytest.approx([row["seconds"] for row in rows], abs=0.002)  # rounded


def test_time_that_is_up_cuts_the_last_trial_which_more_time_goes_on_with(tmp_path):
    lengthy = {"experiment": experiment(epochs=1000), "trials": None}
    short = search(tmp_path, seconds=0.3, **lengthy).run(progress=False)
    clock = [row["seconds"] for row in short]
    assert clock[-2] < 0.3 <= clock[-1]
    longer = search(tmp_path, seconds=clock[-1] + 0.2, **lengthy)
    assert not longer.is_finished()
    rows = longer.run(progress=False)
    assert [row["epoch"] for row in rows] == list(range(len(rows)))
    assert len(short) < len(rows) < 1000
    assert timeless(rows[: len(short)]) == timeless(short)
    assert not list(tmp_path.rglob("rows.json"))


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
    rates = [propose(RANDOM, SPACE, 0, number)["rate"] for number in range(8)]
    assert {row["trial"] for row in rows} == {number for number, rate in enumerate(rates) if rate <= 0.4}
    assert 0 < len({row["trial"] for row in rows}) < 8
    with pytest.raises(UserError, match="no trial began with a finite loss"):
        search(tmp_path / "worst", experiment=experiment(worst=-1.0), trials=2).run(progress=False)


def test_what_is_given_is_not_searched(tmp_path):
    rows = search(tmp_path, changes=Changes(values={"rate": 0.7})).run(progress=False)
    drawn = propose(RANDOM, {"holes": SPACE["holes"]}, 0, 0)
    assert {name: rows[0][name] for name in drawn} == drawn
    assert min(row["valid_loss"] for row in rows) > bowl(0.7, 2)


# What stops it.

STOPS = [
    (Ledger, "begin"),
    (Ledger, "finish"),
    (Ledger, "note"),
    (ledger, "lock"),
    (trial_history, "write"),
    (trial_history.os, "replace"),
    (trial_history.os, "fsync"),
    (Trials, "take"),
    (records.Writer, "row"),
]


@given(st.sampled_from(STOPS), st.integers(1, 12), st.sampled_from([RANDOM, GRID]))
@settings(max_examples=12)
def test_a_search_that_was_killed_ends_with_the_same_numbers(stop, call, method):
    with TemporaryDirectory() as folder:
        root = Path(folder)
        straight, killed = (search(root / name, method, trials=2) for name in ("straight", "killed"))
        with killed_at(call, *stop):
            killed.run(progress=False)
        straight.run(progress=False)
        if not killed.is_finished():
            killed.run(progress=False)
        assert history(killed.folder) == history(straight.folder)


def test_finished_trials_are_not_run_again_and_the_last_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    one = search(tmp_path)
    with killed_at(2, trial_history, "write"):
        one.run(progress=False)
    steps, real = [], torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda *args, **kwargs: steps.append(1) or real(*args, **kwargs))
    one.run(progress=False)
    assert len(steps) == 4  # of the third trial alone: two epochs of two batches


def test_a_folder_made_anew_begins_anew_in_the_same_storage(tmp_path):
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    first = search(tmp_path / "runs", storage=storage).run(progress=False)
    (tmp_path / "runs").rename(tmp_path / "old")
    again = search(tmp_path / "runs", storage=storage).run(progress=False)
    assert timeless(first) == timeless(again)


def test_what_a_lost_ledger_has_left_is_not_taken_for_a_trial(tmp_path):
    one = search(tmp_path)
    trial_history.write(one.folder / "trials" / "0000", [{"epoch": 0, "valid_loss": -1.0, "seconds": 0.0}])
    assert min(row["valid_loss"] for row in one.run(progress=False)) >= 0


def test_a_trial_that_ends_while_it_is_looked_at_is_not_taken(tmp_path, monkeypatch):
    one = search(tmp_path, trials=1)._trials()
    taken = one.take()
    assert isinstance(taken, Taken)

    def at_last(path: Path) -> Any:
        one.work(taken)
        return ledger.try_lock(path)

    monkeypatch.setattr(trials, "try_lock", at_last)
    assert one.take() is Rest.END


def test_trials_of_another_search_are_not_taken_for_its_own(tmp_path):
    search(tmp_path, GRID, grid={"rate": [0.1]}, trials=1).run(progress=False)
    with pytest.raises(UserError, match="holds trials of another search"):
        search(tmp_path, GRID, grid={"rate": [0.2]}, trials=1).run(progress=False)


def test_bad_input_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no end of its own"):
        search(tmp_path, trials=None)
    with pytest.raises(UserError, match="unknown search 'hyperband'"):
        search(tmp_path, "hyperband")
    with pytest.raises(UserError, match="points of a grid belong to grid-search"):
        search(tmp_path, grid={"rate": [0.1]})
    for count, seconds in ((0, None), (None, 0.0)):
        with pytest.raises(UserError, match="positive"):
            search(tmp_path, trials=count, seconds=seconds)
    monkeypatch.setattr(ledger.time, "sleep", lambda seconds: None)
    with pytest.raises(UserError, match="storage 'nowhere://x' cannot be used"):
        search(tmp_path, storage="nowhere://x").run(progress=False)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"pip install '.\[deep\]'"):
        search(tmp_path).run(progress=False)


# Many runs, many workers.


def jobs(root: Path, worst: float = 1.0) -> list[Job | Search]:
    one = experiment(worst)
    plain = [Job(one, "smoke", FIXED, seed, root, Changes(values={"rate": 0.1 + 0.2 * seed})) for seed in range(3)]
    return [*plain, Job(one, "smoke", "delta-stn", 0, root), search(root)]


@pytest.mark.parametrize("storage", [None, "journal"])
def test_work_off_does_each_run_once(storage, tmp_path, monkeypatch):
    todo = jobs(tmp_path)
    todo[1].run(progress=False)
    seen: list[Path] = []
    for kind in (Job, Search):
        real = kind.run
        monkeypatch.setattr(kind, "run", lambda job, *args, real=real: seen.append(job.folder) or real(job, *args))
    for _ in range(2):
        work_off(todo, storage and str(tmp_path / storage), progress=False)
    assert seen == [todo[k].folder for k in (0, 2, 3, 4)]
    assert all(job.is_finished() for job in todo)
    if storage:
        study = ledger.study_name(tmp_path / sweeps.LOCKS, "runs", {})
        entries = {entry.notes["run"]: entry.score for entry in Ledger(tmp_path / storage, study).trials()}
        best = {job.folder: records.read(job.folder).history["valid_loss"].min() for job in todo}
        assert entries == {str(folder.relative_to(tmp_path)): best[folder] for folder in seen}


@pytest.mark.parametrize("storage", [None, "journal"])
def test_a_run_that_is_listed_twice_is_done_once_and_tried_once(storage, tmp_path, monkeypatch):
    todo, real = jobs(tmp_path, worst=0.2)[:3], Job.run
    ran: list[Path] = []
    monkeypatch.setattr(Job, "run", lambda job, *args: ran.append(job.folder) or real(job, *args))
    with pytest.raises(UserError, match="first of 2 runs that failed"):
        work_off([*todo, *todo], storage and str(tmp_path / storage), progress=False)
    assert ran == [job.folder for job in todo]
    more = replace(todo[0], seed=9)
    work_off([more, replace(more, device="cpu:0")], storage and str(tmp_path / storage), progress=False)
    assert ran[3:] == [more.folder]


def test_a_worker_that_died_with_the_journals_lock_is_waited_for_and_no_longer(tmp_path, monkeypatch):
    """Its lock is a link, which from a relative path would lead nowhere; Optuna would look for its end for ever."""
    monkeypatch.chdir(tmp_path)
    died = Ledger("records/journal", "study")
    died.begin({}, {}, run="one")
    assert died._storage._backend._lock.acquire()
    soon = partialmethod(JournalFileSymlinkLock.__init__, grace_period=1)
    monkeypatch.setattr(JournalFileSymlinkLock, "__init__", soon)
    with warnings.catch_warnings(action="ignore"):
        assert [one.notes["run"] for one in Ledger("records/journal", "study").trials()] == ["one"]


@given(cut=st.integers(1, 60))
def test_a_journal_that_was_cut_short_loses_what_was_not_written_and_goes_on(cut):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        one = Ledger(path, "study")
        for number in range(2):
            one.begin({}, {}, run=number)
        os.truncate(path, path.stat().st_size - cut)
        Ledger(path, "study").begin({}, {}, run=2)
        assert [trial.notes["run"] for trial in Ledger(path, "study").trials()] in ([0, 2], [0, 1, 2])


def test_folders_that_share_a_storage_do_not_meet_in_it(tmp_path):
    """A second worker begins and ends the same run in a folder of its own while the first is at it."""
    one, storage = jobs(tmp_path / "one")[0], str(tmp_path / "journal")

    @contextmanager
    def meanwhile(folder: Path):
        work_off([replace(one, root=tmp_path / "other")], storage, progress=False)
        yield lambda row: None

    work_off([one], storage, meanwhile, progress=False)
    assert len(list(tmp_path.rglob("history.csv"))) == 2


@pytest.mark.parametrize("storage", [None, "journal"])
def test_a_run_that_fails_leaves_the_others_to_be_done(storage, tmp_path):
    todo = jobs(tmp_path, worst=0.2)
    with pytest.raises(UserError, match=r"not finite.*first of 2 runs that failed"):
        work_off(todo, storage and str(tmp_path / storage), progress=False)
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
            work_off(todo, progress=False)
        assert len(tried) == count


def test_a_run_that_another_worker_holds_is_waited_for(tmp_path, monkeypatch):
    job = jobs(tmp_path)[0]
    held = ledger.try_lock(tmp_path / ".locks" / job.folder.relative_to(tmp_path) / "lock")
    assert held is not None
    waited = []

    def sleep(seconds: float) -> None:
        assert not job.is_finished()
        waited.append(seconds)
        if len(waited) == 3:
            held.close()  # the other has died

    monkeypatch.setattr(sweeps.time, "sleep", sleep)
    work_off([job], str(tmp_path / "journal"), progress=False)
    assert len(waited) == 3
    assert job.is_finished()


def test_workers_share_searches_and_runs_though_some_are_killed(tmp_path):
    """See tests/deep/sharing.py."""
    subprocess.run([sys.executable, "-m", "tests.deep.sharing", str(tmp_path)], check=True, timeout=120)
