"""Selection and readings, on records whose numbers are known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from figures.reading import archive
from figures.reading.trained import (
    at_best,
    best,
    by_setting,
    chosen,
    count_seeds,
    lacking,
    mean,
    replicas,
    setting_of,
    so_far,
)
from tests.figures.made_deep import write

BOTH = ("STN", "Δ-STN")
LOSS = [2.0, 1.0, 1.5]


@pytest.fixture
def made(tmp_path):
    """Writes a record below a folder of its own."""
    return lambda *arguments, **changes: write(tmp_path, *arguments, **changes)


def test_a_fresh_record_stands_for_the_committed_one_of_the_same_run(tmp_path, committed):
    old, other = (write(committed, "mnist-mlp", method, LOSS) for method in ("stn", "delta-stn"))
    new = write(tmp_path, "mnist-mlp", "stn", [3.0])
    actual = archive.gather("mnist-mlp", tmp_path)
    assert {record.folder for record in actual} == {new.folder, other.folder}
    assert [archive.is_committed(record) for record in (old, other, new)] == [True, True, False]
    assert archive.gather("fmnist-cnn", tmp_path) == []


def test_committed_records_named_by_another_path_are_still_committed(committed, monkeypatch):
    write(committed, "mnist-mlp", "stn", LOSS)
    monkeypatch.chdir(committed.parent)
    (record,) = archive.gather("mnist-mlp", committed.relative_to(committed.parent))
    assert archive.is_committed(record)


def test_the_larger_preset_of_two_with_equal_methods(made):
    cpu, paper = (made("mnist-mlp", "stn", LOSS, preset=preset) for preset in ("cpu", "paper"))
    assert chosen([cpu, paper], "mnist-mlp", BOTH) == chosen([paper, cpu], "mnist-mlp", BOTH) == [paper]


def test_the_preset_with_more_of_the_methods_comes_first(made):
    both = [made("mnist-mlp", method, LOSS) for method in ("stn", "delta-stn")]
    paper = made("mnist-mlp", "delta-stn", LOSS, preset="paper")
    assert chosen([paper, *both], "mnist-mlp", BOTH) == both
    assert chosen([paper, *both], "mnist-mlp", ("Δ-STN",)) == [paper]


def test_smoke_is_drawn_only_where_there_is_nothing_else(made):
    smoke = [made("mnist-mlp", method, LOSS, preset="smoke") for method in ("stn", "delta-stn")]
    cpu = made("mnist-mlp", "stn", LOSS)
    assert chosen(smoke, "mnist-mlp", BOTH) == smoke
    assert chosen([*smoke, cpu], "mnist-mlp", BOTH) == [cpu]


def test_runs_of_another_size_are_not_mixed_in(made):
    runs = [made("mnist-mlp", "delta-stn", LOSS, seed=seed) for seed in range(3)]
    changed = replace(runs[0], settings=runs[0].settings | {"size": runs[0].settings["size"] | {"rows": 100}})
    assert chosen([changed, *runs[1:]], "mnist-mlp", BOTH) == runs[1:]
    assert sorted(map(len, by_setting([changed, *runs[1:]], "mnist-mlp", BOTH).values())) == [1, 2]


def test_only_what_is_varied_may_be_changed(made):
    usual = made("mnist-mlp", "stn", LOSS)
    started, both = made("mnist-mlp", "stn", LOSS, start=0.3), made("mnist-mlp", "stn", LOSS, start=0.3, tau=0.1)
    runs = [both, started, usual]
    assert chosen(runs, "mnist-mlp", BOTH) == [usual]
    assert chosen(runs, "mnist-mlp", BOTH, ("start",)) == [started, usual]
    assert chosen(runs, "fmnist-cnn", BOTH) == chosen(runs, "mnist-mlp", ("Δ-STN",)) == []


def test_larger_presets_come_first_in_tables(made):
    runs = [made("mnist-mlp", "stn", LOSS, preset=preset) for preset in ("smoke", "paper", "cpu")]
    assert [preset for preset, _ in by_setting(runs, "mnist-mlp", BOTH)] == ["paper", "cpu", "smoke"]


def test_replicas_are_one_methods_in_the_order_of_their_seeds(made):
    runs = [made("mnist-mlp", "stn", LOSS, seed=seed) for seed in (10, 2)] + [made("mnist-mlp", "delta-stn", LOSS)]
    assert [item.settings["seed"] for item in replicas(runs, "STN")] == [2, 10]


def test_test_loss_and_accuracy_are_of_the_epoch_of_lowest_validation_loss(made):
    columns = {"valid_accuracy": [0.1, 0.7, 0.9], "test_accuracy": [0.2, 0.6, 0.8]}
    run = made("mnist-mlp", "stn", LOSS, test=[0.5, 1.25, 0.25], columns=columns)
    assert best(run) == (1.0, 1.25)
    assert best(run, "accuracy") == (0.7, 0.6)
    assert at_best(run, "epoch") == 1.0


def test_a_trial_that_diverged_is_never_the_best(made):
    search = made("mnist-mlp", "random-search", [np.nan, 2.0, np.inf, 1.0, np.nan])
    assert best(search) == (1.0, 1.5)
    assert so_far(search, "seconds")[1].tolist()[1:] == [2.0, 2.0, 1.0, 1.0]


def test_so_far_never_rises(made):
    x, y = so_far(made("mnist-mlp", "stn", [3.0, 1.0, 2.0, 0.5]), "seconds")
    assert x.tolist() == [0.0, 10.0, 20.0, 30.0]
    assert y.tolist() == [3.0, 1.0, 1.0, 0.5]


def test_the_mean_of_two_step_functions_by_hand():
    a = np.array([0.0, 2.0, 4.0]), np.array([8.0, 6.0, 2.0])
    b = np.array([1.0, 3.0]), np.array([4.0, 0.0])
    x, y = mean([a, b])
    assert x.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert y.tolist() == [6.0, 5.0, 3.0, 1.0]


@given(seed=st.integers(0, 2**32 - 1), lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_the_mean_is_that_of_a_naive_loop(seed, lengths):
    rng = np.random.default_rng(seed)
    curves = [(np.sort(rng.choice(12, n, replace=False)).astype(float), rng.normal(size=n)) for n in lengths]
    for place, value in zip(*mean(curves), strict=True):
        each = [[y for x, y in zip(*curve, strict=True) if x <= place][-1] for curve in curves]
        assert_allclose(value, sum(each) / len(each), rtol=1e-12, atol=1e-12)


def test_what_a_caption_says_of_a_setting(made):
    cpu = [made("mnist-mlp", "stn", LOSS, seed=seed) for seed in range(2)]
    assert setting_of(cpu) == (
        "mnist-mlp: preset cpu, not the paper's setting: 5000 rows, width 0.5 of the paper's, 150 epochs; 2 seeds"
    )
    paper = made("mnist-mlp", "stn", LOSS, preset="paper")
    assert setting_of([paper]) == "mnist-mlp: preset paper, the paper's setting: all rows, 300 epochs; 1 seed"
    smoke = made("mnist-mlp", "stn", LOSS, preset="smoke")
    assert "not the paper's setting: on digits, all rows" in setting_of([smoke])


def test_seeds_are_counted_by_method(made):
    runs = [made("mnist-mlp", "stn", LOSS, seed=seed) for seed in range(3)] + [made("mnist-mlp", "delta-stn", LOSS)]
    assert count_seeds(runs[:3]) == "3 seeds"
    assert count_seeds(runs) == "1 to 3 seeds"


def test_methods_without_records_are_named(made):
    runs = [made("mnist-mlp", "stn", LOSS)]
    assert lacking(runs, ("STN", "Centered STN", "Δ-STN")) == ", no records of Centered STN, Δ-STN"
    assert lacking(runs, ("STN",)) == ""
