"""Many splits in one record: each row is the run that `python -m toy EXPERIMENT` records for its seed."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from figures.reading.archive import COMMITTED
from reference.console import records
from reference.rule.hypernet import FullResponse
from reference.rule.updates import DELTA_STN, METHODS, learned_hypergradient
from toy.console import processes
from toy.data.datasets import Dataset, load
from toy.data.split import split
from toy.paper import splits
from toy.paper.experiments import EXPERIMENTS
from toy.paper.jobs import Job, pending
from toy.paper.runs import execute, train_jobs

pytestmark = pytest.mark.usefixtures("no_types_checked")


def job(name, root, **changes):
    """Two splits of made-up data with a schedule of a few updates."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2))
    data = Dataset("made-up", X, X @ rng.normal(size=2) + rng.normal(size=30), ("a", "b"))
    short = {"warm_up": 5, "T_train": 2, "updates": 6, "keep_every": 2, **changes}
    experiment = replace(EXPERIMENTS[name], schedule=replace(EXPERIMENTS[name].schedule, **short))
    return splits.Job(experiment, data, root, seeds=(0, 3))


@pytest.mark.parametrize("name", list(splits.CHANGES))
def test_a_row_is_the_end_and_the_mean_of_the_run_that_is_recorded_by_itself(tmp_path, name):
    many = job(name, tmp_path)
    processes.execute([many], splits.run, 1)
    history = records.read(many.folder(0)).history
    assert len(history["seed"]) == len(METHODS) * len(many.schedules) * 2
    for schedule in many.schedules:
        runs = list(pending(many.experiment, many.dataset, METHODS, many.seeds, tmp_path, schedule=schedule))
        execute(runs, 1)
        for run in runs:
            for seed in many.seeds:
                alone = records.read(run.folder(seed)).history["regret"]
                row = (history["method"] == run.method.name) & (history["seed"] == seed)
                row &= history["alpha1"] == schedule.alpha1
                row &= (history["outer_eps"] == "0") == schedule.unperturbed_outer
                assert_array_equal(history["regret"][row], alone[-1:])
                assert_allclose(history["mean_regret"][row], [alone.mean()], rtol=1e-12)


def test_a_run_that_diverges_has_an_infinite_regret(tmp_path):
    many = job("ridge", tmp_path, alpha1=50.0, updates=400, T_train=5)
    processes.execute([many], splits.run, 1)
    history = records.read(many.folder(0)).history
    assert np.isinf([history["regret"], history["mean_regret"]]).all()


def test_a_record_says_all_that_its_numbers_depend_on_and_is_not_made_again(tmp_path):
    many = splits.Job(EXPERIMENTS["ridge"], load("diabetes"), tmp_path)
    asked = many.settings(0)
    assert asked["schedules"] == [asdict(many.experiment.schedule), asdict(many.schedules[1])]
    assert (asked["problem"], asked["data"]["name"], asked["seeds"]) == ("ridge", "diabetes", 40)
    with records.Writer(many.folder(0), asked) as writer:
        writer.row({"seed": 0})
    assert [(j.experiment.name, j.dataset.name) for j in splits.pending(["ridge"], tmp_path)] == [
        ("ridge", "concrete"),
        ("ridge", "abalone"),
    ]


def test_the_committed_records_are_of_the_present_settings():
    assert splits.pending(splits.CHANGES, COMMITTED) == []


@pytest.mark.parametrize("name", list(splits.CHANGES))
def test_the_committed_numbers_are_made_again(name):
    """Of two splits of concrete, to what another processor's rounding may change."""
    history = records.read(COMMITTED / splits.EXPERIMENT / name / "concrete").history
    many = splits.Job(EXPERIMENTS[name], load("concrete"), COMMITTED, seeds=(0, 1))
    group = replace(many.experiment.schedule, **splits.CHANGES[name][1])
    start, sigma = many.experiment.start(1030), many.experiment.sigma
    runs = Job(many.experiment, many.dataset, DELTA_STN, many.seeds, start, sigma, group, many.root)
    with np.errstate(all="ignore"):
        ((_, trajectory),) = train_jobs([runs])
    for index, seed in enumerate(many.seeds):
        problem = many.experiment.problem(split(many.dataset, seed))
        fresh = splits.regrets(runs, trajectory.replicate(index), problem, problem.optimum())
        row = (history["method"] == DELTA_STN.name) & (history["seed"] == seed) & (history["alpha1"] == group.alpha1)
        row &= (history["outer_eps"] == "0") == group.unperturbed_outer
        assert [np.isinf(history[name][row][0]) for name in fresh] == [np.isinf(value) for value in fresh.values()]
        if np.isfinite(fresh["regret"]):
            assert_allclose([history[name][row][0] for name in fresh], list(fresh.values()), rtol=0.05)


@pytest.mark.parametrize(("name", "size"), [("diabetes", 1.0), ("concrete", 0.65), ("abalone", 0.51)])
def test_the_noise_of_a_drawn_eps_beside_the_gradient_is_what_the_readme_says(name, size):
    experiment, data, seeds = EXPERIMENTS["ridge"], load(name), tuple(range(5))
    start, schedule = experiment.start(len(data.X)), experiment.schedule
    ((_, trajectory),) = train_jobs([Job(experiment, data, DELTA_STN, seeds, start, 1.0, schedule, COMMITTED)])
    ratios = []
    for index, seed in enumerate(seeds):
        problem, states = experiment.problem(split(data, seed)), trajectory.replicate(index).states
        assert isinstance(states.response, FullResponse)
        noise = np.mean((states.response.Theta[..., 0] @ problem.X_valid.T) ** 2, axis=-1)  # ΘᵀH_VΘ, σ = 1
        ratios.append(noise / np.abs(learned_hypergradient(DELTA_STN, states, problem)[:, 0]))
    assert_allclose(np.median(ratios), size, rtol=0.02)
