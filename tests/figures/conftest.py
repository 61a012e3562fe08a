"""Real records of short runs, and `python -m figures` on them."""

import sys
from dataclasses import replace

import pytest

import figures.archive
import figures.cli
from reference.updates import METHODS
from toy.datasets import load
from toy.experiments import EXPERIMENTS
from toy.jobs import pending
from toy.records import find
from toy.runs import execute


@pytest.fixture(autouse=True)
def committed(monkeypatch, tmp_path_factory):
    """A folder that stands for figures/records: empty unless a test fills it."""
    folder = tmp_path_factory.mktemp("committed")
    monkeypatch.setattr(figures.archive, "COMMITTED", folder)
    return folder


@pytest.fixture(scope="package")
def short():
    """Every experiment with a schedule of a few updates, for as long as the tests of this folder last."""
    with pytest.MonkeyPatch.context() as patch:
        for name, experiment in EXPERIMENTS.items():
            # Figure 2's methods come to differ only as they converge.
            updates = 60 if name == "nonlinear" else 8
            schedule = replace(experiment.schedule, warm_up=20, updates=updates, keep_every=updates // 4)
            patch.setitem(EXPERIMENTS, name, replace(experiment, schedule=schedule))
        yield


@pytest.fixture(scope="package")
def root(short, tmp_path_factory):
    """A folder of records: all experiments on diabetes, two seeds."""
    folder = tmp_path_factory.mktemp("records")
    jobs = [
        job
        for experiment in EXPERIMENTS.values()
        for job in pending(experiment, load("diabetes"), METHODS, range(2), folder)
    ]
    execute(jobs, 1)
    return folder


@pytest.fixture
def records(root):
    """Of one experiment, as figures get them."""
    return lambda *experiments: [record for experiment in experiments for record in find(root / experiment)]


@pytest.fixture
def command(monkeypatch):
    """`python -m figures` with these arguments, in this process; gives the exit status."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["figures", *map(str, arguments)])
        return figures.cli.main()

    return run
