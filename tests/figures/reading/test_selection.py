from dataclasses import replace

import numpy as np
import pytest

from figures.reading.selection import aligned, count_seeds, of_dataset, panels, replicas
from tests.figures.made import record
from toy.data.datasets import load

METHODS = ("STN", "Δ-STN")


def with_settings(runs, **changes):
    return replace(runs, settings=runs.settings | changes)


def test_the_sets_that_need_no_network_come_first_then_known_ones_then_a_persons_own():
    names = ["zebra", "yacht", "abalone", "energy", "ant", "diabetes"]
    runs = [record("STN", data=name, digest=name) for name in names]
    assert list(panels(runs, "ridge", METHODS)) == ["diabetes", "abalone", "energy", "yacht", "ant", "zebra"]


def test_two_sets_of_one_name_are_two_panels():
    runs = [record("STN", data="mine", digest=digest * 8) for digest in ("ab", "cd")]
    assert list(panels(runs, "ridge", METHODS)) == ["mine abab", "mine cdcd"]


@pytest.mark.parametrize(
    "changes",
    [
        {"experiment": "dropout"},
        {"start": 50.0},
        {"sigma": 0.5},
        {"schedule": record("STN").settings["schedule"] | {"alpha1": 0.5}},
        {"method": record("Δ-STN").settings["method"] | {"control_variate": True}},
    ],
)
def test_what_is_not_the_experiment_as_it_stands_is_left_out(changes):
    usual = record("STN")
    assert panels([with_settings(usual, **changes), usual], "ridge", METHODS) == {"diabetes": [usual]}


def test_a_start_by_the_number_of_rows():
    large = record("STN", data="mine", rows=1000)
    assert large.settings["start"] == 50.0
    assert panels([large], "ridge", METHODS) == {"mine": [large]}


def test_methods_that_a_figure_does_not_compare_are_left_out():
    assert panels([record("Reparam STN")], "ridge", METHODS) == {}


def test_of_one_dataset_only_its_own_records(records):
    usual = records("one-feature")
    changed = with_settings(usual[0], data=usual[0].settings["data"] | {"digest": "another"})
    assert of_dataset([changed, *usual], "one-feature", load("diabetes")) == usual


def test_replicas_are_in_the_order_of_their_seeds():
    runs = [record("STN", seed) for seed in (10, 2, 1)] + [record("Δ-STN", 0)]
    assert [item.settings["seed"] for item in replicas(runs, "STN")] == [1, 2, 10]


def test_histories_that_end_early_are_filled():
    updates, lam = aligned(
        [record("STN", lam=[1, 2, 3]), record("STN", lam=[4], regret=[1]), record("STN", lam=[], regret=[])], "lam", -9
    )
    assert updates.tolist() == [0, 5, 10]
    assert lam.tolist() == [[1, 2, 3], [4, -9, -9], [-9, -9, -9]]


def test_no_histories_at_all():
    updates, lam = aligned([], "lam", np.nan)
    assert updates.size == lam.size == 0


def test_how_many_seeds():
    five = [record(method, seed) for seed in range(5) for method in METHODS]
    assert count_seeds(five) == "5 seeds"
    assert count_seeds([*five, record("STN", data="mine", digest="1")]) == "1 to 5 seeds"
