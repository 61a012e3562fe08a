"""Tables 1, 3 and 4: numbers and verdicts that were computed by hand."""

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from figures.paper.deep import table01, table03, table04
from figures.reading import results
from figures.reading.results import Group, Part, rows, verdict
from figures.reading.trained import best
from reference.console.records import Record
from tests.figures.made_deep import settings, write

TABLES = [table01, table03, table04]
COLUMNS = ("valid_loss", "test_loss")
PAPER = {"A": (1.0, 1.0), "B": (2.0, 2.0), "C": (2.0, 3.0)}
"""B and C are equal in the paper, so nothing is claimed of them."""


def group(name, losses, paper=PAPER):
    """A row with a seed for each loss, None where a seed has no record."""
    return Group(
        name,
        [
            Record(Path(), settings("mnist-mlp", "stn", seed), {}, dict.fromkeys(COLUMNS, np.array([999.0, loss])))
            for seed, loss in enumerate(losses)
            if loss is not None
        ],
        paper.get(name),
    )


def judged(better="lower", **losses):
    return verdict(Part("mnist-mlp", [group(name, values) for name, values in losses.items()], best, 3, better))


def test_order_as_the_papers():
    assert judged(A=[1, 2, 3], B=[2, 3, 4], C=[1.5, 2.5, 9]) == "order as the paper's; here A < B < C (3 seeds)"


def test_better_in_some_seeds_only_is_a_tie():
    said = judged(A=[1, 2, 3], B=[2, 3, 2.9], C=[2, 3, 4])
    assert said == "ties within seeds: A and B; 1 of 2 pairs as the paper's; here A < B < C (3 seeds)"


def test_worse_in_every_seed_is_not_as_the_paper():
    assert judged(A=[3, 4], B=[2, 3], C=[2, 6]) == (
        "not as the paper: B better than A; ties within seeds: A and C; 0 of 2 pairs as the paper's; "
        "here B < A < C (2 seeds)"
    )


def test_equal_losses_are_a_tie():
    assert judged(A=[1.0], B=[1.0]).startswith("ties within seeds: A and B; 0 of 1 pairs")


def test_one_seed_says_so():
    assert judged(A=[1.0], B=[2.0]).endswith("here A < B (one seed, so nothing is known of the spread)")


def test_a_seed_is_compared_with_itself_alone():
    """A is worse on the whole, but better on each split."""
    assert judged(A=[1, 10, 100], B=[2, 11, None]).startswith("order as the paper's; ")
    assert judged(A=[1, None], B=[None, 2]).startswith("no verdict")


def test_nothing_is_claimed_of_methods_that_are_equal_in_the_paper_or_not_in_it():
    assert judged(B=[1, 2], C=[3, 4]).startswith("no verdict")
    assert judged(A=[1, 2], D=[3, 4]).startswith("no verdict")


def test_higher_may_be_better():
    assert judged("higher", A=[1, 2], B=[3, 4]) == "order as the paper's; here B > A (2 seeds)"


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 5))
def test_a_verdict_is_the_naive_count_of_seeds(seed, count):
    a, b = np.random.default_rng(seed).integers(0, 4, (2, count)).astype(float)
    wins, losses = sum(x < y for x, y in zip(a, b, strict=True)), sum(x > y for x, y in zip(a, b, strict=True))
    expected = "order as" if wins == count else "not as" if losses == count else "ties within"
    assert judged(A=a.tolist(), B=b.tolist()).startswith(expected)


def test_a_row_has_means_and_the_deviation_of_a_sample(tmp_path):
    runs = [
        write(tmp_path, "mnist-mlp", "stn", [5.0, valid], seed, test=[9.0, test])
        for seed, (valid, test) in enumerate([(1.0, 10.0), (2.0, 20.0), (6.0, 30.0)])
    ]
    (row,) = rows(Part("mnist-mlp", [Group("STN", runs, (7.0, 8.0))], best, 3))
    assert (row.experiment, row.preset, row.method, row.seeds) == ("mnist-mlp", "cpu", "STN", 3)
    # Seed 2's lowest validation loss is at its start: 1, 2, 5 and 10, 20, 9.
    assert_allclose([row.valid, row.valid_sd, row.test], [8 / 3, math.sqrt(13 / 3), 13.0])
    assert (row.paper_valid, row.paper_test) == (7.0, 8.0)


@pytest.fixture
def made(tmp_path):
    """Writes a record below a folder of its own."""
    return lambda *arguments, **changes: write(tmp_path, *arguments, **changes)


def lines(page):
    return [line for line in page.decode().splitlines() if line.startswith("|")]


def test_table_1_by_hand(made):
    runs = [
        made("mnist-mlp", "stn", [2.0, 0.1], 0, test=[9, 0.2]),
        made("mnist-mlp", "stn", [2.0, 0.2], 1, test=[9, 0.3]),
        made("mnist-mlp", "delta-stn", [0.05, 0.2], 0, test=[0.25, 9]),
        made("mnist-mlp", "random-search", [0.5], preset="paper"),
        made("ptb-lstm", "delta-stn", [math.log(90.0)], test=[math.log(80.0)]),
        made("mnist-mlp", "reparam-stn", [0.01]),
        made("mnist-mlp", "delta-stn", [0.01], 1, tau=1.0),
    ]
    page = table01.files(runs)["table01.md"]
    assert lines(page)[2:6] == [
        "| mnist-mlp | paper | random search | 1 | 0.500 (1.000) | 0.043 (0.042) |",
        "| mnist-mlp | cpu | STN | 2 | 0.150 ± 0.071 (0.250) | 0.043 (0.041) |",
        "| mnist-mlp | cpu | Δ-STN | 1 | 0.050 (0.250) | 0.040 (0.038) |",
        "| ptb-lstm | cpu | Δ-STN | 1 | 90.00 (80.00) | 68.63 (66.26) |",
    ]
    assert lines(page)[8:] == [
        "| mnist-mlp | paper | no verdict: no two methods that the paper puts in an order have a seed in common |",
        "| mnist-mlp | cpu | order as the paper's; here Δ-STN < STN (one seed, so nothing is known of the spread) |",
        "| ptb-lstm | cpu | no verdict: no two methods that the paper puts in an order have a seed in common |",
    ]
    assert "- mnist-mlp: preset cpu, not the paper's setting: 5000 rows, " in page.decode()


def test_table_3_by_hand(made):
    def run(method, valid, test):
        columns = {"valid_accuracy": [0.1, valid, 0.99], "test_accuracy": [0.1, test, 0.99]}
        return made("cifar-vgg16", method, [3.0, 1.0, 2.0], columns=columns)

    page = table03.files([run("stn", 0.5, 0.25), run("delta-stn", 0.45, 0.35)])["table03.md"]
    assert lines(page)[2:4] == [
        "| cifar-vgg16 | cpu | STN | 1 | 50.00 (25.00) | 89.22 (88.66) |",
        "| cifar-vgg16 | cpu | Δ-STN | 1 | 45.00 (35.00) | 90.96 (90.26) |",
    ]
    assert "| not as the paper: STN better than Δ-STN; 0 of 1 pairs as the paper's; here STN > Δ-STN" in page.decode()


def test_table_4_by_hand(made):
    def run(method, losses, rates, **changes):
        return made("mnist-dropout-schedule", method, losses, hyper={"drop_input": rates}, **changes)

    fixed = {"drop_input": 0.5}
    runs = [
        run("grid-search", [0.3, 0.1, 0.2], [0.25, 0.5, 0.75]),
        run("fixed", [0.2], 0.5, values=fixed, noise=1.0),
        run("fixed", [0.25], 0.5, values=fixed),
        run("fixed", [0.4], 0.42, values={"drop_input": 0.42}),
        run("stn", [0.5], 0.1),
        run("delta-stn", [0.05, 0.06], [0.05, 0.43]),
        run("delta-stn", [0.01], 0.7, start=0.7),
        run("fixed", [0.01], 0.5, schedule="elsewhere"),
    ]
    assert lines(table04.files(runs)["table04.md"])[2:8] == [
        "| mnist-dropout-schedule | cpu | p = 0.5 (best of grid search) | 1 | 0.100 (0.600) | 0.059 (0.054) |",
        "| mnist-dropout-schedule | cpu | p = 0.42 fixed | 1 | 0.400 (0.900) | 0.059 (0.060) |",
        "| mnist-dropout-schedule | cpu | p = 0.5 fixed | 1 | 0.250 (0.750) | – |",
        "| mnist-dropout-schedule | cpu | p = 0.5 with Gaussian noise, σ = 1 | 1 | 0.200 (0.700) | 0.057 (0.059) |",
        "| mnist-dropout-schedule | cpu | STN | 1 | 0.500 (1.000) | 0.058 (0.058) |",
        "| mnist-dropout-schedule | cpu | Δ-STN | 1 | 0.050 (0.550) | 0.053 (0.054) |",
    ]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_csv_has_the_rows_unrounded_and_every_line_of_the_page_as_many_cells(table, made):
    columns = {"valid_accuracy": [0.123456789], "test_accuracy": [0.5]}
    runs = [
        made(experiment, method, [1 / 3], seed, columns=columns, hyper={"drop_input": 0.2})
        for experiment in table.NEEDS
        for method in ("stn", "delta-stn")
        for seed in range(2)
    ]
    name = table.__name__.rpartition(".")[2]
    files = table.files(runs)
    assert files.keys() == {f"{name}.md", f"{name}.csv"}
    actual = list(csv.DictReader(io.StringIO(files[f"{name}.csv"].decode())))
    expected = [row for part in table.parts(runs) for row in rows(part)]
    assert [float(line["valid"]) for line in actual] == [row.valid for row in expected]
    assert len(actual) == 2 * len(table.NEEDS)
    tables = files[f"{name}.md"].decode().split("\n\n")
    for item in tables[:2]:
        assert len({line.count("|") for line in item.splitlines()}) == 1


def test_the_papers_numbers_put_delta_stn_first():
    """Bold in tables 1, 3 and 4."""
    assert all(min(scores) == scores[-1] for scores in table01.PAPER.values())
    assert all(paper["Δ-STN"] > paper["STN"] for paper in table03.PAPER.values())
    assert table04.PAPER["Δ-STN"][0] < min(
        item[0] for item in (table04.FIXED_PAPER, table04.NOISE_PAPER, table04.LAST_PAPER, table04.PAPER["STN"])
    )


def test_signs_are_of_the_validation_score():
    part = Part("mnist-mlp", [group("A", [1, 2, 2]), group("B", [2, 2, 1])], best, 3)
    assert results.compare(part, *part.groups).tolist() == [1, 0, -1]
