"""Runs: repeatable to the last bit, the same whoever runs beside them, done once, and given up in one line."""

import errno
import itertools
import math
import os
import signal
import threading
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logit
from threadpoolctl import threadpool_info
from tqdm import tqdm

import toy.console.processes
import toy.paper.runs
from reference.beyond.control_variate.updates import BEYOND, extended
from reference.console import records
from reference.console.command import UserError
from reference.rule.updates import DELTA_STN, METHODS, REPARAM_STN, STN
from toy.data.datasets import Dataset, load
from toy.data.split import split
from toy.loop.draws import normals, row_batches, streams, uniforms
from toy.paper.experiments import EXPERIMENTS
from toy.paper.jobs import alike, digest, pending
from toy.paper.runs import execute, run

pytestmark = pytest.mark.usefixtures("no_types_checked")

SHORT = {"warm_up": 5, "T_train": 2, "updates": 6, "keep_every": 2}
"""A schedule of 17 inner steps."""

KEPT = [0, 2, 4, 6]


def short(name, **changes):
    """An experiment cut short."""
    return replace(EXPERIMENTS[name], schedule=replace(EXPERIMENTS[name].schedule, **SHORT | changes))


def made_up(seed=0, n=25, m=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, m))
    return Dataset("made-up", X, X @ rng.normal(size=m) + rng.normal(size=n), tuple(f"x{j}" for j in range(m)))


DATA = made_up()


def runs(root, experiment=None, dataset=None, methods=(DELTA_STN,), seeds=(0,), start=None, processes=1, sigma=None):
    """Run what is missing; the records below root by their folders' names."""
    jobs = list(pending(experiment or short("ridge"), dataset or made_up(), methods, seeds, root, start, sigma))
    execute(jobs, processes)
    return recorded(root)


def recorded(root):
    return {str(record.folder.relative_to(root)): record for record in records.find(root)}


def assert_same(records, others):
    """The same folders, settings, facts and histories, to the last bit; but for times."""
    assert list(records) == list(others)
    for record, other in zip(records.values(), others.values(), strict=True):
        assert record.settings == other.settings
        assert record.facts == other.facts
        assert list(record.history) == list(other.history)
        for name, values in record.history.items():
            if not name.endswith("seconds"):
                assert values.tobytes() == other.history[name].tobytes(), name


names = st.sampled_from(list(EXPERIMENTS))
methods = st.sampled_from(METHODS)
few = settings(max_examples=8)


# The same numbers.


@few
@given(names, methods)
def test_a_run_is_repeatable_bit_for_bit(tmp_path_factory, name, method):
    first, second = (runs(tmp_path_factory.mktemp("run"), short(name), methods=[method]) for _ in range(2))
    assert_same(first, second)


@pytest.mark.parametrize("name", list(EXPERIMENTS))
@pytest.mark.parametrize("m", [1, 3])
def test_seeds_run_together_are_each_as_if_alone_bit_for_bit(tmp_path, name, m):
    experiment, data, methods = short(name), made_up(m=m), [STN if m == 1 else DELTA_STN]
    together = runs(tmp_path / "together", experiment, data, methods, range(3))
    for seed in range(3):
        runs(tmp_path / "alone", experiment, data, methods, [seed])
    assert_same(together, recorded(tmp_path / "alone"))
    assert len(together) == 3


def test_real_data_in_batches_of_100_too(tmp_path):
    together = runs(tmp_path / "together", short("ridge"), load("concrete"), [STN, DELTA_STN], range(5))
    for seed in reversed(range(5)):
        runs(tmp_path / "alone", short("ridge"), load("concrete"), [STN, DELTA_STN], [seed])
    assert_same(together, recorded(tmp_path / "alone"))


@few
@given(names, st.data())
def test_methods_sigmas_and_starts_run_together_are_each_as_if_alone_bit_for_bit(tmp_path_factory, name, data):
    """One of them may diverge beside the others."""
    root, experiment = tmp_path_factory.mktemp("run"), short(name)
    values = st.sampled_from([0.1, 0.5]) if name == "dropout" else st.sampled_from([0.5, 3.0, 1e300])
    asked = st.tuples(st.sampled_from(METHODS + BEYOND), st.sampled_from([0.3, 1.0]), values)
    group = data.draw(st.lists(asked, min_size=2, max_size=6, unique_by=lambda item: (item[0].slug, *item[1:])))

    def jobs(folder):
        seeds, where = range(2), root / folder
        return [
            job for method, s, start in group for job in pending(experiment, DATA, [method], seeds, where, start, s)
        ]

    assert alike(jobs("together")) == [jobs("together")]
    run(jobs("together"))
    for job in jobs("alone"):
        run([job])
    assert_same(recorded(root / "together"), recorded(root / "alone"))


def test_alike_are_jobs_of_one_experiment_data_set_seeds_and_folder():
    differ = [(short("ridge"), DATA, (0,), "a"), (short("dropout"), DATA, (0,), "a"), (short("ridge"), DATA, (1,), "a")]
    differ += [(short("ridge"), made_up(seed=1), (0,), "a"), (short("ridge"), DATA, (0,), "b")]
    groups = [list(pending(e, data, METHODS[:2], seeds, Path(root))) for e, data, seeds, root in differ]
    assert alike(job for pair in zip(*groups, strict=True) for job in pair) == groups


def test_jobs_that_are_alike_are_one_task_unless_processes_would_idle(tmp_path, monkeypatch):
    tasks = []
    monkeypatch.setattr(
        toy.console.processes, "completed", lambda work, todo, *_, **__: tasks.append(todo) or nullcontext(iter(()))
    )
    jobs = [job for seed in range(2) for job in pending(short("ridge"), DATA, METHODS, [seed], tmp_path)]
    for processes in (1, 2, 3):
        execute(jobs, processes)
    assert [list(map(len, group)) for group in tasks] == [[4, 4], [4, 4], [1] * 8]


def test_sums_are_made_by_one_thread_however_many_there_are(tmp_path):
    seen = []

    def noted(generator, m):
        seen.extend(library["num_threads"] for library in threadpool_info())
        return np.zeros(m)

    runs(tmp_path, replace(short("ridge"), weights=noted))
    assert set(seen) == {1}


def test_seeds_and_methods_differ(tmp_path):
    done = list(runs(tmp_path, short("linear-network"), methods=METHODS, seeds=range(3)).values())
    for item, other in itertools.combinations(done, 2):
        assert (item.history["theta_error"] != other.history["theta_error"]).any()


def test_methods_see_the_same_draws(tmp_path):
    """Ridge regression is its own linearisation, so that on it Δ-STN and Centered STN are one method."""
    centred, delta = runs(tmp_path, methods=METHODS[2:]).values()
    for name in ("lam", "theta_error", "hypergradient"):
        assert_array_equal(centred.history[name], delta.history[name])


def naive_lam(name, data, seed, schedule):
    """λ after each outer update of Alg. 1, for ridge regression (H.1) or input dropout (H.2), from one seed's draws."""
    parts, drops = split(data, seed), name == "dropout"
    X, t, X_valid, t_valid = parts.X, parts.t, parts.X_valid, parts.t_valid
    (n, m), b = X.shape, 10
    _, rows, noise, uniform = streams([seed])
    rows, noise, uniform = row_batches(rows, n, b), normals(noise, 1), uniforms(uniform, b, m)
    lam, w0, Theta, mean_square = logit(0.2) if drops else 0.0, np.zeros(m), np.zeros(m), 0.0

    def grad(batch, lam, w, uniform):
        inputs, p = X[batch], expit(lam)
        if drops:
            inputs = np.where(uniform >= p, inputs, 0.0) / (1 - p)
        return inputs.T @ (inputs @ w - t[batch]) / b + (0.0 if drops else np.exp(lam) / n * w)

    yield lam
    for update in range(schedule.updates + 1):
        for _ in range(schedule.T_train if update else schedule.warm_up):
            batch, eps = next(rows)[0], next(noise)[0, 0]
            first, second = (next(uniform)[0], next(uniform)[0]) if drops else (None, None)
            w0 = w0 - schedule.alpha1 * grad(batch, lam, w0, first)
            Theta = Theta - schedule.alpha1 * eps * grad(batch, lam + eps, w0 + Theta * eps, second)
        if update:
            eps = next(noise)[0, 0]
            g = Theta @ X_valid.T @ (X_valid @ (w0 + Theta * eps) - t_valid) / len(t_valid)
            mean_square = 0.99 * mean_square + 0.01 * g**2
            lam = lam - schedule.alpha2 * g / (np.sqrt(mean_square) + 1e-8)
            yield lam


@pytest.mark.parametrize("name", ["ridge", "dropout"])
def test_a_run_is_algorithm_1_with_the_draws_of_its_seed(tmp_path, name):
    """Dropout's two gradients of one iteration have masks of their own."""
    experiment = short(name, keep_every=1)
    for record in runs(tmp_path, experiment, seeds=range(2)).values():
        lam = list(naive_lam(name, made_up(), record.settings["seed"], experiment.schedule))
        assert_allclose(record.history["lam"], lam, rtol=1e-10, atol=1e-12)


# What a record holds.


def test_a_record_has_a_row_for_each_kept_step(tmp_path):
    (record,) = runs(tmp_path).values()
    assert_array_equal(record.history["update"], KEPT)
    assert_array_equal(record.history["iteration"], [5 + 2 * update for update in KEPT])
    assert (np.diff(record.history["seconds"]) >= 0).all()
    assert record.facts["outcome"] == "finished"
    assert set(record.facts) == {"outcome", "exact", "command", "versions"}
    assert all(np.isfinite(values).all() for values in record.history.values())


def test_settings_say_all_that_the_numbers_depend_on(tmp_path):
    (record,) = runs(tmp_path, seeds=[3], start=0.5).values()
    data = made_up()
    assert record.settings == {
        "experiment": "ridge",
        "data": {"name": "made-up", "rows": 25, "features": 3, "digest": digest(data)},
        "method": asdict(extended(DELTA_STN)),
        "seed": 3,
        "start": 0.5,
        "sigma": 1.0,
        "batch": 10,
        "schedule": asdict(short("ridge").schedule),
    }


@given(st.integers(10, 14))
def test_the_batch_that_is_stated_is_no_larger_than_the_training_rows(rows):
    (job,) = pending(short("ridge"), made_up(n=rows), [STN], [0], Path("unused"))
    assert job.settings(0)["batch"] == min(10, rows - math.ceil(0.2 * rows))
    (job,) = pending(short("nonlinear"), made_up(n=rows), [STN], [0], Path("unused"))
    assert job.settings(0)["batch"] == "all"


def test_data_sets_of_one_name_are_told_apart():
    data, swapped = made_up(), made_up()
    swapped.X[[0, 1]] = swapped.X[[1, 0]]
    changed = replace(data, t=data.t + 1e-12)
    assert len({digest(data), digest(swapped), digest(changed)}) == 3
    assert digest(data) == digest(made_up())


def test_a_record_lies_where_its_name_says(tmp_path):
    assert list(runs(tmp_path, short("dropout"), methods=[REPARAM_STN], seeds=[4], start=0.3)) == [
        "dropout/made-up/reparam-stn/start-0.3/seed-4"
    ]
    assert [method.slug for method in METHODS] == ["stn", "reparam-stn", "centered-stn", "delta-stn"]


@pytest.mark.parametrize(("stem", "folder"), [("..", "data"), (".", "data"), (".csv", "csv"), ("a b.é", "a b.é")])
def test_no_name_of_data_leads_out_of_the_experiments_folder(stem, folder):
    data = replace(made_up(), name=stem)
    (job,) = pending(short("ridge"), data, [STN], [0], Path("root"))
    assert job.folder(0) == Path("root") / "ridge" / folder / "stn" / "start-1" / "seed-0"


@given(st.floats(1e-300, 1e300))
def test_different_starts_have_different_folders(start):
    folders = []
    for value in (start, float(np.nextafter(start, 0.0))):
        (job,) = pending(short("ridge"), made_up(), [STN], [0], Path("root"), value)
        folders.append(job.folder(0))
    assert folders[0] != folders[1]


@pytest.mark.parametrize("name", ["ridge", "dropout"])
@pytest.mark.parametrize("method", BEYOND, ids=lambda method: method.slug)
def test_another_sigma_is_a_run_of_its_own_and_the_same_as_the_experiment_at_that_sigma(tmp_path, name, method):
    runs(tmp_path / "a", short(name), methods=[method])
    both = runs(tmp_path / "a", short(name), methods=[method], sigma=0.3)
    own = f"{name}/made-up/{method.slug}/start-{'1' if name == 'ridge' else '0.2'}/seed-0"
    other = own.replace("/seed", "-sigma-0.3/seed")
    assert both.keys() == {own, other}
    assert (both[own].settings["sigma"], both[other].settings["sigma"]) == (1.0, 0.3)
    (same,) = runs(tmp_path / "b", replace(short(name), sigma=0.3), methods=[method]).values()
    assert same.settings == both[other].settings
    assert_array_equal(same.history["theta_error"], both[other].history["theta_error"])
    assert (both[own].history["theta_error"] != both[other].history["theta_error"]).any()


# What is done is not done again.


def times(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_a_finished_run_is_not_run_again(tmp_path):
    runs(tmp_path, methods=METHODS, seeds=range(2))
    before = times(tmp_path)
    assert len(before) == 16
    assert list(pending(short("ridge"), made_up(), METHODS, range(2), tmp_path)) == []
    runs(tmp_path, methods=METHODS, seeds=range(2))
    assert times(tmp_path) == before


def test_more_seeds_run_only_the_new_ones(tmp_path):
    runs(tmp_path, seeds=range(2))
    before = times(tmp_path)
    (job,) = pending(short("ridge"), made_up(), [DELTA_STN], range(4), tmp_path)
    assert job.seeds == (2, 3)
    assert len(runs(tmp_path, seeds=range(4))) == 4
    assert {path: time for path, time in times(tmp_path).items() if path in before} == before


@pytest.mark.parametrize(
    "other",
    [
        {"experiment": short("ridge", alpha1=0.02)},
        {"experiment": replace(short("ridge"), sigma=0.5)},
        {"dataset": made_up(seed=1)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_finished_record_of_other_settings_in_the_same_place_is_kept_and_named(tmp_path, other):
    runs(tmp_path)
    before = times(tmp_path)
    with pytest.raises(UserError, match="seed-0 holds a finished record of other data or settings"):
        runs(tmp_path, **other)
    assert times(tmp_path) == before


@pytest.mark.parametrize(("name", "start"), [("ridge", 0.0), ("ridge", -3.0), ("dropout", 1.0), ("nonlinear", -1.0)])
def test_a_start_outside_the_range_of_s_is_refused_with_its_unit(tmp_path, name, start):
    with pytest.raises(UserError, match=f"--start {start}.*give a {EXPERIMENTS[name].unit} inside"):
        list(pending(short(name), made_up(), [STN], [0], tmp_path, start))


# Divergence.


def test_all_replicates_may_diverge_and_leave_records_that_say_when(tmp_path):
    experiment = short("ridge", alpha1=50.0, updates=400, T_train=5)
    for record in runs(tmp_path, experiment, methods=METHODS, seeds=range(2)).values():
        assert record.facts["outcome"].startswith("diverged by update ")
        update = int(record.facts["outcome"].split()[-1])
        assert 0 < update < 400
        assert_array_equal(record.history["update"], np.arange(0, update, 2))
        for name in ("lam", "penalty", "validation_loss", "regret", "hypergradient_exact"):
            assert np.isfinite(record.history[name]).all(), name


def test_a_start_that_overflows_at_once_leaves_columns_without_rows(tmp_path):
    for record in runs(tmp_path, methods=METHODS, start=1e300).values():
        assert record.facts["outcome"] == "diverged by update 0"
        assert set(record.history) > {"update", "seconds", "lam", "penalty", "regret"}
        assert all(values.shape == (0,) for values in record.history.values())
        assert np.isfinite(record.facts["exact"]["lam_star"])


def test_a_start_that_diverges_at_once_needs_no_exact_answer_there(tmp_path):
    """Where the features are dependent and the penalty vanishes there is none."""
    data = made_up()
    copies = replace(data, X=data.X[:, [0, 0]], features=("a", "b"))
    (record,) = runs(tmp_path, short("ridge", warm_up=100), copies, [STN], start=1e-300).values()
    assert record.facts["outcome"] == "diverged by update 0"


def test_a_diverged_run_is_done_and_not_run_again(tmp_path):
    runs(tmp_path, start=1e300)
    assert list(pending(short("ridge"), made_up(), [DELTA_STN], [0], tmp_path, 1e300)) == []


def spoiled(generator, m):
    """The linear network's start, but for one seed at 1e80, where products of six factors overflow."""
    w = EXPERIMENTS["linear-network"].weights(generator, m)
    return np.full_like(w, 1e80) if abs(w[-1] - SPOILED) < 1e-12 else w


SPOILED = EXPERIMENTS["linear-network"].weights(toy.paper.runs.streams([1])[0][0], 3)[-1]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.slug)
def test_a_replicate_that_diverges_leaves_the_others_to_the_last_bit(tmp_path, method):
    sound, experiment = short("linear-network"), replace(short("linear-network"), weights=spoiled)
    expected = runs(tmp_path / "sound", sound, methods=[method], seeds=range(3))
    actual = runs(tmp_path / "spoiled", experiment, methods=[method], seeds=range(3))
    outcomes = [record.facts["outcome"] for record in actual.values()]
    assert outcomes == ["finished", "diverged by update 0", "finished"]
    for done in (expected, actual):
        del done[f"linear-network/made-up/{method.slug}/start-1/seed-1"]
    assert_same(expected, actual)


# Many processes, and other backends.


def test_two_processes_write_what_one_does(tmp_path):
    subject = runs(tmp_path / "one", methods=METHODS, seeds=range(2), processes=1)
    two = runs(tmp_path / "two", methods=METHODS, seeds=range(2), processes=2)
    assert_same(subject, two)


def test_a_backend_that_is_already_configured_is_used(tmp_path, monkeypatch):
    places = []

    def noted(jobs):
        places.append(threading.current_thread())
        return run(jobs)

    monkeypatch.setattr(toy.paper.runs, "run", noted)
    subject = runs(tmp_path / "one", methods=METHODS, processes=1)
    assert places == [threading.main_thread()]
    places.clear()
    with joblib.parallel_config(backend="threading", n_jobs=2):
        threads = runs(tmp_path / "threads", methods=METHODS, processes=2)
    assert len(places) == 4
    assert threading.main_thread() not in places
    assert_same(subject, threads)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_backend_that_gives_all_results_at_once_is_used_too(tmp_path, monkeypatch):
    """As joblib's multiprocessing, from which Ray's is derived."""
    backends = []

    class Parallel(joblib.Parallel):
        def __init__(self, **options):
            super().__init__(**options)
            backends.append(type(self._backend).__name__)

    monkeypatch.setattr(toy.console.processes, "Parallel", Parallel)
    with joblib.parallel_config(backend="multiprocessing", n_jobs=2):
        processes = runs(tmp_path / "processes", methods=METHODS, processes=2)
    assert backends == ["MultiprocessingBackend"]
    assert_same(processes, runs(tmp_path / "one", methods=METHODS))


def test_no_more_processes_are_started_than_there_are_jobs(tmp_path, monkeypatch):
    asked = []

    class Parallel(joblib.Parallel):
        def __init__(self, *, n_jobs, **options):
            asked.append(n_jobs)
            super().__init__(n_jobs=1, **options)

    monkeypatch.setattr(toy.console.processes, "Parallel", Parallel)
    runs(tmp_path, methods=METHODS[:3], processes=500)
    runs(tmp_path, methods=METHODS[:3], processes=500)
    assert asked == [3, 1]


# Given up.


def failing(error):
    """A stand-in for `run` that leaves a part behind, as a killed process would, and fails."""

    def fail(jobs):
        folder = jobs[0].folder(jobs[0].seeds[0])
        folder.mkdir(parents=True)
        (folder / f"{records.HISTORY}.0.part").touch()
        raise error

    return fail


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full"), UserError("bad")])
def test_what_is_given_up_leaves_finished_runs_and_no_parts(tmp_path, monkeypatch, error):
    before = runs(tmp_path, methods=[STN])
    monkeypatch.setattr(toy.paper.runs, "run", failing(error))
    with pytest.raises(type(error)):
        runs(tmp_path, methods=METHODS)
    assert list(tmp_path.rglob("*.part")) == []
    assert_same(recorded(tmp_path), before)


def test_joblib_does_not_add_to_the_message_what_it_cancels(tmp_path, monkeypatch):
    class Interrupted(tqdm):
        def set_description(self, desc=None, refresh=True):
            raise KeyboardInterrupt

    monkeypatch.setattr(toy.console.processes, "tqdm", Interrupted)
    with pytest.raises(KeyboardInterrupt):  # and not the warning, which here would be an error
        runs(tmp_path, methods=METHODS, seeds=range(2), processes=2)
    assert list(tmp_path.rglob("*.part")) == []


def deadly(spared, generator, m):
    """Starting weights that kill the process that asks for them, as the system does where memory runs out."""
    assert os.getpid() != spared
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_is_one_line(tmp_path):
    experiment = replace(short("ridge"), weights=partial(deadly, os.getpid()))
    with pytest.raises(UserError, match="a process was killed, perhaps as memory ran out"):
        runs(tmp_path, experiment, methods=METHODS, processes=2)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_ctrl_c_is_answered_as_before_once_processes_have_started(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    runs(tmp_path, methods=METHODS[:2], processes=2)
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_runs_may_be_started_from_a_thread_that_may_not_touch_signals(tmp_path):
    failures = []

    def work():
        try:
            runs(tmp_path, methods=METHODS[:2], processes=2)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failures == []
    assert len(recorded(tmp_path)) == 2


def test_a_problem_without_an_exact_answer_is_one_line_with_its_seed(tmp_path):
    data = made_up()
    copies = replace(data, X=data.X[:, [0, 0]], features=("a", "b"))
    with pytest.raises(UserError, match=r"ridge, made-up, Δ-STN, seed 0: no exact answer \(the matrix is not"):
        runs(tmp_path, dataset=copies, start=1e-300)
    assert list(tmp_path.rglob("*.*")) == []


def test_a_target_without_relation_or_without_noise_is_run(tmp_path):
    data = made_up(n=40)
    for name, t in (("perfect", data.X @ [1.0, 2.0, -1.0]), ("copy", data.X[:, 0].copy())):
        for experiment in ("ridge", "dropout", "nonlinear"):
            (record,) = runs(tmp_path / name / experiment, short(experiment), replace(data, t=t)).values()
            assert record.facts["outcome"] == "finished"
            assert not any(np.isnan(values).any() for values in record.history.values())
