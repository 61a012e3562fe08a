import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from figures.beyond.toy import figb1, tableb2
from figures.drawing import style
from figures.reading.variants import CV
from toy.data.datasets import load
from toy.data.split import split
from toy.paper.experiments import ridge


@pytest.fixture
def several(records, monkeypatch):
    monkeypatch.setattr(figb1, "DATA", ("diabetes",))
    return records("response")


def exact(record):
    """∂r/∂λ by the difference of two best responses."""
    problem = ridge(split(load("diabetes"), record.settings["seed"]))
    lam, h = np.log([record.settings["start"]]), 1e-5
    return problem, lam, (problem.best_response(lam + h) - problem.best_response(lam - h)) / (2 * h)


def thetas(record):
    """Θ at every kept step."""
    return np.stack([record.history[f"theta_{i + 1}"] for i in range(10)], axis=-1)


def test_the_errors_are_those_of_the_second_half(several):
    for record in several:
        _, _, J = exact(record)
        # 8 updates, of which every second is kept: those after the fourth are the last two.
        late = thetas(record)[-2:]
        each = np.linalg.norm(late - J, axis=-1) / np.linalg.norm(J)
        assert_allclose(figb1.error(record), np.median(each), rtol=1e-6)
        assert_allclose(figb1.averaged(record), np.linalg.norm(late.mean(axis=0) - J) / np.linalg.norm(J), rtol=1e-6)


@pytest.mark.parametrize("sigma", [1.0, 0.3, 1e-3])
def test_the_bias_is_that_of_the_minimiser_in_closed_form(several, sigma):
    problem, lam, J = exact(several[0])
    values, Q = np.linalg.eigh(problem.X.T @ problem.X)
    a = np.exp(lam[0] + sigma**2 / 2)
    Theta = -Q @ (a / (values + a * (1 + sigma**2)) * (Q.T @ problem.best_response(lam)))
    desired = np.linalg.norm(Theta - J) / np.linalg.norm(J)
    assert_allclose(figb1.bias(several[0], sigma), desired, rtol=1e-5, atol=1e-9)
    assert sigma > 1e-3 or desired < 1e-5


def test_a_run_that_diverged_is_infinitely_wrong(several):
    lost = replace(several[0], facts=several[0].facts | {"outcome": "diverged by update 2"})
    assert figb1.error(lost) == figb1.averaged(lost) == np.inf


def test_the_lines_are_means_over_the_seeds(several):
    (axes,) = figb1.draw(several).axes
    actual = {line.get_gid(): line for line in axes.lines}
    assert actual.keys() == {"Δ-STN", CV, "Δ-STN: averaged", f"{CV}: averaged", "bias"}
    for name in ("Δ-STN", CV):
        sigmas, errors = map(np.asarray, actual[name].get_data())
        assert_allclose(sigmas, sorted(figb1.SIGMAS))
        for sigma, drawn in zip(sigmas, errors, strict=True):
            runs = figb1.runs_of(several, name, sigma)
            found_in = {(run.settings["sigma"], run.settings["method"]["control_variate"]) for run in runs}
            assert found_in == {(sigma, name == CV)}
            assert_allclose(drawn, np.mean([figb1.error(run) for run in runs]))
        assert actual[name].get_color() == style.LINES[name]["color"]


def test_the_table_has_the_figures_numbers(several):
    rows = list(tableb2.rows(several))
    assert [(row.sigma, row.method, row.seeds) for row in rows] == [
        (sigma, name, 2) for sigma in figb1.SIGMAS for name in ("Δ-STN", CV)
    ]
    for row in rows:
        runs = figb1.runs_of(several, row.method, row.sigma)
        assert_allclose(row.averaged, np.mean([figb1.averaged(run) for run in runs]))
        assert_allclose(row.bias, np.mean([figb1.bias(run, row.sigma) for run in runs]))
    written = list(csv.DictReader(io.StringIO(tableb2.files(several)["tableb2.csv"].decode())))
    assert [float(line["error"]) for line in written] == [row.error for row in rows]
    assert len(tableb2.numbers_table(several).splitlines()) == 2 + len(rows)
