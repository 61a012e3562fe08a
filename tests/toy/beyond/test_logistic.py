"""Softmax regression tuned: data and splits by scikit-learn's own recipe, columns by other routes, runs repeatable."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.preprocessing import StandardScaler

from reference.beyond.problems.logistic import Logistic
from reference.bilevel.optimum import Optimum
from reference.console import records
from reference.console.command import UserError
from reference.rule.hypernet import FullResponse
from reference.rule.updates import CENTERED_STN, DELTA_STN, STN, State
from tests.strategies import scikit_learns_weights
from toy.beyond.logistic import exact, jobs, labels, runs
from toy.beyond.logistic.table import row
from toy.console.cli import logistic_main
from toy.loop.trajectory import stacked
from toy.paper.jobs import unfinished

SHORT = replace(jobs.SCHEDULE, warm_up=3, T_train=2, updates=4, keep_every=2)


@pytest.fixture
def short(monkeypatch):
    """A schedule of 11 inner steps, and no search for λ*."""
    monkeypatch.setattr(runs, "SCHEDULE", SHORT)
    monkeypatch.setattr(jobs, "SCHEDULE", SHORT)
    measured = Optimum(np.zeros(2), np.array(0.25), np.array("interior"), rounding=np.array(0.0))
    monkeypatch.setattr(runs, "optimum", lambda name, seed, h: replace(measured, lam_star=np.zeros(h)))


def asked(root: Path, methods=(DELTA_STN,), seeds=(0,), tuned="smoothing"):
    return jobs.jobs([labels.load("wine")], tuned, methods, seeds, 1.0, root)


# Data.


@pytest.mark.parametrize("name", list(labels.SOURCES))
def test_the_split_keeps_the_shares_of_classes_and_scales_on_the_training_rows(name):
    data = labels.load(name)
    measured = labels.problem(data, seed=3, h=2 + data.classes)
    chosen = StratifiedShuffleSplit(1, test_size=0.2, random_state=3)
    ((rows, rows_valid),) = chosen.split(data.X, data.t)
    assert_array_equal(measured.t, data.t[rows])
    assert_array_equal(measured.t_valid, data.t[rows_valid])
    scaler = StandardScaler().fit(data.X[rows])
    for actual, part in ((measured.X, rows), (measured.X_valid, rows_valid)):
        assert_allclose(actual[:, :-1], np.asarray(scaler.transform(data.X[part])), rtol=1e-12)
        assert_array_equal(actual[:, -1], 1.0)
    assert measured.divisor == len(rows)
    assert set(data.t) == set(range(data.classes))


def test_a_digits_input_is_the_mean_of_four_pixels():
    bunch: Any = load_digits()
    data = labels.load("digits")
    for i, j in ((0, 0), (1, 2), (3, 3)):
        square = bunch.images[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        assert_allclose(data.X[:, 4 * i + j], square.reshape(-1, 4).mean(axis=1))


def test_unknown_data_are_named():
    with pytest.raises(UserError, match=r"'iris'; choose from wine, breast-cancer, digits$"):
        labels.load("iris")


@pytest.mark.parametrize("name", list(labels.SOURCES))
def test_on_real_data_the_best_response_is_scikit_learns(name):
    problem, lam = labels.problem(labels.load(name), seed=1, h=1), np.array([1.0])
    W = scikit_learns_weights(problem.X, problem.t, np.exp(lam[0]))
    assert_allclose(problem.best_response(lam), W.ravel(), atol=1e-7 * np.abs(W).max())


# Columns.


def validation_loss(problem, lam):
    """L_V at scikit-learn's weights, of decay and smoothing: every row once for each class, weighted by its target."""
    n, c = len(problem.X), problem.classes
    smooth = 1 / (1 + np.exp(-lam[1]))
    Q = (1 - smooth) * np.eye(c)[problem.t] + smooth / c
    fit = LogisticRegression(C=1 / np.exp(lam[0]), fit_intercept=False, tol=1e-10, max_iter=10_000, solver="newton-cg")
    fit.fit(np.repeat(problem.X, c, axis=0), np.tile(np.arange(c), n), sample_weight=Q.ravel())
    return log_loss(problem.t_valid, fit.predict_proba(problem.X_valid))


def test_columns_are_scikit_learns_loss_and_measured_against_its_differences():
    problem = labels.problem(labels.load("wine"), seed=0, h=2)
    rng = np.random.default_rng(0)
    lam, m = np.array([[1.0, -2.0], [-1.0, 0.5]]), problem.classes * problem.X.shape[1]
    states = [State(point, np.ones(2), rng.normal(size=m), FullResponse(rng.normal(size=(m, 2)))) for point in lam]
    best = Optimum(np.zeros(2), np.array(0.01), np.array("interior"), rounding=np.array(0.0))
    measured = exact.columns(problem, DELTA_STN, stacked(states), best)
    losses = [validation_loss(problem, point) for point in lam]
    assert_allclose(measured["validation_loss"], losses, rtol=1e-6)
    assert_allclose(measured["excess"], np.array(losses) - 0.01, rtol=1e-6)
    assert_array_equal(np.stack([measured["lam_1"], measured["lam_2"]], axis=1), lam)
    for k, (point, state) in enumerate(zip(lam, states, strict=True)):
        ahead, behind = (
            [f(problem, point + s * e) for e in 1e-4 * np.eye(2)] for s in (1, -1) for f in [validation_loss]
        )
        g = (np.array(ahead) - behind) / 2e-4
        assert isinstance(state.response, FullResponse)
        learned = state.response.Theta.T @ problem.valid_grad_w(point, state.w0)
        wanted = (
            np.linalg.norm(learned - g) / np.linalg.norm(g),
            learned @ g / np.linalg.norm(learned) / np.linalg.norm(g),
        )
        r = problem.best_response(point)
        assert_allclose(measured["weights_error"][k], np.linalg.norm(state.w0 - r) / np.linalg.norm(r))
        assert_allclose(measured["weights_loss"][k], problem.valid_loss(point, state.w0))
        assert_allclose([measured["hypergradient_error"][k], measured["hypergradient_cosine"][k]], wanted, rtol=1e-3)
    right = [
        State(point, np.ones(2), problem.best_response(point), FullResponse(problem.best_response_jacobian(point)))
        for point in lam
    ]
    nothing = exact.columns(problem, DELTA_STN, stacked(right), best)
    assert_allclose([nothing["theta_error"], nothing["hypergradient_error"]], 0.0, atol=1e-8)
    assert_allclose(nothing["hypergradient_cosine"], 1.0)
    idle = [replace(state, response=FullResponse(np.zeros((m, 2)))) for state in right]
    still = exact.columns(problem, DELTA_STN, stacked(idle), best)
    assert_allclose([still["theta_error"], still["hypergradient_error"]], 1.0)
    assert_array_equal(still["hypergradient_cosine"], 0.0)


def test_lam_star_is_searched_for_once_for_all_methods(monkeypatch):
    searched = []

    def search(problem):
        searched.append((problem.t_valid.tolist(), problem.h))
        return Optimum(np.zeros(problem.h), np.array(0.0), np.array("interior"), rounding=np.array(0.0))

    monkeypatch.setattr(Logistic, "optimum", search)
    exact.optimum.cache_clear()
    for h in (1, 1, 2):
        assert exact.optimum("wine", 4, h).lam_star.shape == (h,)
    exact.optimum.cache_clear()
    t_valid = labels.problem(labels.load("wine"), 4, 1).t_valid.tolist()
    assert searched == [(t_valid, 1), (t_valid, 2)]


# Runs.


def test_what_is_named_twice_is_one_job(tmp_path):
    wine = labels.load("wine")
    twice = jobs.jobs([wine, wine], "decay", [STN, DELTA_STN, STN], [0, 1], 1.0, tmp_path)
    assert [job.method for job in twice] == [STN, DELTA_STN]


def test_a_run_is_repeatable_alone_or_beside_others(short, tmp_path):
    for name, seeds in (("together", [0, 1]), ("alone", [1])):
        for job in unfinished(asked(tmp_path / name, seeds=seeds)):
            runs.run(job)
    (base,) = asked(tmp_path / "together", seeds=[1])
    (other,) = asked(tmp_path / "alone", seeds=[1])
    first, second = (records.read(job.folder(1)) for job in (base, other))
    assert first.settings == second.settings
    for column, values in first.history.items():
        if column != "seconds":
            assert_array_equal(values, second.history[column])
    assert first.history["update"].tolist() == [0, 2, 4]
    assert first.history["iteration"].tolist() == [3, 7, 11]
    assert list(unfinished(asked(tmp_path / "alone", seeds=[1]))) == []
    assert [job.seeds for job in unfinished(asked(tmp_path / "alone", seeds=[0, 1]))] == [(0,)]


def test_on_softmax_regression_linearising_changes_nothing(short, tmp_path):
    delta, centred, stn = asked(tmp_path, [DELTA_STN, CENTERED_STN, STN], tuned="weights")
    for job in (delta, centred, stn):
        runs.run(job)
    base, other, third = (records.read(job.folder(0)).history for job in (delta, centred, stn))
    assert_array_equal(base["theta_error"], other["theta_error"])
    assert (base["theta_error"] != third["theta_error"]).any()
    assert [name for name in base if name.startswith("lam")] == [f"lam_{i}" for i in range(1, 6)]
    assert_allclose([base[f"lam_{i}"][0] for i in range(1, 6)], [np.log(50), np.log(0.2 / 0.8), 0, 0, 0], atol=1e-12)


def test_a_run_that_leaves_the_floats_says_when(short, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "SCHEDULE", replace(SHORT, alpha1=1e200))
    (job,) = asked(tmp_path)
    runs.run(job)
    record = records.read(job.folder(0))
    assert record.facts["outcome"] == "diverged by update 0"
    assert len(record.history["update"]) == 0
    assert row(job, [record])[-3:] == ("∞ (∞ to ∞)", "–", "1 of 1")


def test_a_lam_out_of_reach_counts_as_diverged(short, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "SCHEDULE", replace(SHORT, alpha2=2.0))
    (job,) = asked(tmp_path)
    runs.run(job)
    record = records.read(job.folder(0))
    assert record.facts["outcome"] == "diverged by update 2"
    assert record.history["update"].tolist() == [0]


def test_the_command_prints_what_the_records_hold(short, tmp_path, capsys):
    arguments = ["--data", "wine", "--method", "delta-stn", "--seeds", "3", "--jobs", "1", "--out", str(tmp_path)]
    assert logistic_main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()[-1]
    (job,) = asked(tmp_path, seeds=[0, 1, 2], tuned="decay")
    histories = [records.read(job.folder(seed)).history for seed in range(3)]
    first, last = (1000 * np.array([history["excess"][k] for history in histories]) for k in (0, -1))
    cosine = np.median([np.mean(history["hypergradient_cosine"]) for history in histories])
    spread = f"{np.median(last):.1f} ({min(last):.1f} to {max(last):.1f})"
    assert printed == f"| decay | wine | Δ-STN | 0.25 | {np.median(first):.1f} | {spread} | {cosine:.2f} | 0 of 3 |"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--tune", "all"], "unknown --tune 'all'; choose from decay"), (["--method", "sgd"], "unknown method 'sgd'")],
)
def test_what_is_unknown_is_named(arguments, message):
    with pytest.raises(UserError, match=message):
        logistic_main(arguments)
