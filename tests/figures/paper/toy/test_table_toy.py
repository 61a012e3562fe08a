import csv
import io
from dataclasses import astuple

import numpy as np
import pytest
from numpy.testing import assert_allclose

from figures.paper.toy.table_toy import NAMES, NEEDS, files, numbers_table, rows, verdicts, verdicts_table
from figures.reading.verdicts import CLAIMS
from tests.figures.made import record


@pytest.fixture
def several():
    """Three seeds of two methods; seed 1 of the second has diverged."""
    stn = [
        record("STN", seed, regret=[0.5, regret], lam=[0, 1], theta_error=error, cosine=[-1, 1])
        for seed, regret, error in ((0, 0.03, 1), (1, 0.01, 3), (2, 0.02, 2))
    ]
    return [
        *stn,
        record("Δ-STN", 0, regret=[0.5, 0.001], lam=[0, 1], theta_error=0.25),
        record("Δ-STN", 1, lam=[], regret=[], outcome="diverged by update 0"),
        record("Δ-STN", 2, regret=[0.5, 0.000001], lam=[0, 1], theta_error=0.75),
    ]


def test_rows_hold_medians_and_ranges(several):
    stn, delta = map(astuple, rows(several))
    assert (stn[:5], delta[:5]) == (("ridge", "diabetes", "STN", 3, 0), ("ridge", "diabetes", "Δ-STN", 3, 1))
    assert_allclose(stn[5:], [2.0, 1.0, 3.0, 2.0, 0.0])
    assert_allclose(delta[5:], [0.1, 1e-4, np.inf, 0.5, 1.0])


def test_the_page_shows_them(several):
    lines = numbers_table(several).splitlines()
    assert lines[2:] == [
        "| ridge | diabetes | STN | 2 (1 to 3) | 2 | 0.00 | 0 of 3 |",
        "| ridge | diabetes | Δ-STN | 0.1 (<0.001 to ∞) | 0.5 | 1.00 | 1 of 3 |",
    ]


def test_a_method_of_which_every_run_diverged_at_once():
    lost = [record("STN", seed, lam=[], regret=[], outcome="diverged by update 0") for seed in range(5)]
    assert numbers_table(lost).splitlines()[-1] == "| ridge | diabetes | STN | ∞ (∞ to ∞) | – | – | 5 of 5 |"


def test_a_sign_that_rounds_to_zero_has_no_sign():
    assert "| 0.00 |" in numbers_table(
        [record("STN", lam=[0] * 1000, regret=[0] * 1000, cosine=[1, -1] * 499 + [-1, 0])]
    )
    assert "| −1.00 |" in numbers_table([record("STN", cosine=-1)])


def test_a_bar_in_a_name_does_not_end_a_cell():
    assert "| a\\|b |" in numbers_table([record("STN", data="a|b")])


def test_every_line_of_a_table_has_as_many_cells(records):
    for page in (numbers_table(records(*NEEDS)), verdicts_table(records(*NEEDS))):
        assert len({line.replace("\\|", "").count("|") for line in page.splitlines()}) == 1


def test_real_records_fill_the_table(records):
    runs = records(*NEEDS)
    assert [(row.experiment, row.method) for row in rows(runs)] == [
        (name, method) for name in NEEDS for method in NAMES
    ]
    assert {row.seeds for row in rows(runs)} == {2}
    assert [(name, data, text) for name, data, text, _ in verdicts(runs)] == [
        (claim.experiment, "diabetes", claim.text) for claim in CLAIMS
    ]


def test_csv_has_the_numbers_unrounded(several):
    table = list(csv.DictReader(io.StringIO(files(several)["toy.csv"].decode())))
    assert [float(line["regret_median"]) for line in table] == [row.regret_median for row in rows(several)]
    assert float(table[1]["regret_most"]) == np.inf


def test_the_page_holds_both_tables(several):
    page = files(several)["toy.md"].decode()
    assert numbers_table(several) in page
    assert verdicts_table(several) in page
    assert "as the paper: Δ-STN 0.1 %, STN 2 %; lower in 2 of 3 seeds, higher in 1; ranges overlap |" in page
