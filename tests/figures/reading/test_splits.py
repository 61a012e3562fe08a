"""Many splits: figure 4's lower part, the tables, and Fisher's test against counting all tables."""

from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from figures.paper.toy import fig04
from figures.paper.toy.table_splits import files, order, outer_step, stability
from figures.reading import splits
from reference.console.records import Record
from tests.figures.made import record

METHODS = ("STN", "Reparam STN", "Centered STN", "Δ-STN")


def made(problem, data, finals, *, alpha1=(0.002,), eps=("drawn",)):
    """Of two splits; `finals`: (method, α_1, ε) -> both final regrets, else 0.01; the mean regret is twice that."""
    runs = [(method, a, e, seed) for method in METHODS for a in alpha1 for e in eps for seed in (1, 0)]
    regret = np.array([finals.get((method, a, e), (0.01, 0.01))[seed] for method, a, e, seed in runs])
    columns = dict(zip(("method", "alpha1", "outer_eps", "seed"), map(np.array, zip(*runs, strict=True)), strict=True))
    settings = {"experiment": "splits", "problem": problem, "data": {"name": data}, "seeds": 2}
    return Record(Path("made"), settings, {}, {**columns, "regret": regret, "mean_regret": 2 * regret})


LETTER = made(
    "linear-network-undivided",
    "concrete",
    {
        ("STN", 0.001, "drawn"): (np.inf, 0.1),
        ("STN", 0.002, "drawn"): (np.inf, np.inf),
        ("Centered STN", 0.002, "drawn"): (0.1, np.inf),
    },
    alpha1=(0.002, 0.001),
)
NETWORK = made(
    "linear-network",
    "diabetes",
    {
        ("STN", 0.002, "drawn"): (0.03, 0.05),
        ("Δ-STN", 0.002, "drawn"): (0.02, 0.002),
        ("Δ-STN", 0.002, "0"): (0.001, 0.003),
    },
    eps=("drawn", "0"),
)


def test_figure_4_draws_the_share_that_diverges_below():
    runs = [record(method, experiment="linear-network") for method in ("STN", "Centered STN", "Δ-STN")]
    drawn = {
        line.get_gid(): np.asarray(line.get_xydata()).tolist()
        for axes in fig04.draw([*runs, LETTER]).axes
        for line in axes.lines
        if (line.get_gid() or "").endswith(": diverged")
    }
    assert drawn == {
        "STN: diverged": [[0.001, 50.0], [0.002, 100.0]],
        "Centered STN: diverged": [[0.001, 0.0], [0.002, 50.0]],
        "Δ-STN: diverged": [[0.001, 0.0], [0.002, 0.0]],
    }
    assert not any("diverged" in (line.get_gid() or "") for axes in fig04.draw(runs).axes for line in axes.lines)


def test_the_order_is_of_medians_and_counts_splits_where_delta_stn_is_lower():
    assert list(order([NETWORK])) == [("linear-network", "diabetes", "4.0 / 1.0 / 1.0 / 1.1", "2", "1")]
    assert list(order([made("ridge", "abalone", {})])) == [("ridge", "abalone", "1.0 / 1.0 / 1.0 / 1.0", "0", "-")]


def test_the_outer_steps_are_compared_at_the_end_and_over_the_run():
    stn, centred, delta = outer_step([NETWORK])
    assert stn[2:] == ["STN", "4.0", "1.0", "2", "8.0", "2.0", "2"]
    assert centred[2] == "Centered STN"
    assert delta[2:] == ["Δ-STN", "1.1", "0.20", "1", "2.2", "0.40", "1"]


def test_stability_counts_runs_that_diverged_at_each_step():
    assert list(stability([LETTER, NETWORK])) == [
        ("0.001", "1 / 0 / 0", "1"),
        ("0.002", "2 / 1 / 0", "1"),
    ]


def test_without_records_a_table_is_empty():
    assert files([])["splits.md"].decode().count("\n| --- ") == 3


def test_data_sets_are_in_their_usual_order_whatever_the_folders():
    group = [made("ridge", name, {}) for name in ("abalone", "diabetes", "concrete")]
    assert [splits.data(item) for item in splits.shown([*group, record("STN")])] == ["diabetes", "concrete", "abalone"]


@pytest.mark.parametrize("n", [5, 40])
@given(data=st.data())
def test_fishers_p_is_the_part_of_all_tables_that_are_as_unequal(n, data):
    a, b = (data.draw(st.integers(0, n)) for _ in range(2))
    chances = [comb(n, k) * comb(n, a + b - k) for k in range(max(0, a + b - n), min(n, a + b) + 1)]
    here = comb(n, a) * comb(n, b)
    p = sum(chance for chance in chances if chance <= here) / sum(chances)
    assert_allclose(splits.fisher(np.arange(n) < a, np.arange(n) < b), p, rtol=1e-9)
