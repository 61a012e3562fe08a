"""Real records of short runs, and `python -m figures` on them."""

import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest

import figures.console.cli
import figures.reading.archive
from figures.console.contents import ALL
from reference.console.records import find
from tests.strategies import no_type_checks
from toy.paper.experiments import EXPERIMENTS
from toy.paper.runs import execute


@pytest.fixture(autouse=True)
def committed(monkeypatch, tmp_path_factory):
    """A folder that stands for figures/records: empty unless a test fills it."""
    folder = tmp_path_factory.mktemp("committed")
    monkeypatch.setattr(figures.reading.archive, "COMMITTED", folder)
    return folder


@contextmanager
def shortened():
    """Every experiment with a schedule of a few updates."""
    with pytest.MonkeyPatch.context() as patch:
        for name, experiment in EXPERIMENTS.items():
            # Figure 2's methods come to differ only as they converge.
            updates = 60 if name == "nonlinear" else 8
            schedule = replace(experiment.schedule, warm_up=20, updates=updates, keep_every=updates // 4)
            patch.setitem(EXPERIMENTS, name, replace(experiment, schedule=schedule))
        yield patch


def on_diabetes(patch):
    """Toy figures need the one data set alone."""
    for name, entry in ALL.items():
        patch.setitem(ALL, name, replace(entry, data=("diabetes",) if entry.data else ()))


@pytest.fixture
def short():
    """The same, for a test."""
    with shortened():
        yield


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder of records: all that the toy figures need, but on diabetes alone and of two seeds."""
    folder = tmp_path_factory.mktemp("records")
    with shortened() as patch, no_type_checks():
        patch.setattr(figures.console.cli, "SEEDS", range(2))
        on_diabetes(patch)
        execute(figures.console.cli.missing(list(ALL), folder), 1)
    return folder


@pytest.fixture
def root(made, short):
    """That folder, and the experiments whose records are in it."""
    return made


@pytest.fixture
def records(root):
    """Of one experiment, as figures get them."""
    return lambda *experiments: [record for experiment in experiments for record in find(root / experiment)]


@pytest.fixture
def command(monkeypatch):
    """`python -m figures` with these arguments, in this process alone; gives the exit status."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["figures", "--jobs", "1", *map(str, arguments)])
        return figures.console.cli.main()

    return run
