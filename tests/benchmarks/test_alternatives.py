import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from benchmarks.alternatives import __main__ as command
from benchmarks.alternatives import measure, prices
from benchmarks.alternatives.descents import METHODS, lbfgs
from benchmarks.alternatives.measure import Trace, alternatives, combined, judged, once, optimum, outer_losses, thinned
from benchmarks.alternatives.oracle import Oracle, size
from benchmarks.alternatives.problems import CountedLogistic
from benchmarks.alternatives.searches import logistic_cv, ridge_cv
from benchmarks.alternatives.tasks import TASKS
from figures.beyond.estimators.alternatives import shown
from figures.beyond.estimators.figb5 import draw
from reference.beyond.control_variate.updates import DELTA_STN_CV
from reference.beyond.estimators.closed_form import Exact
from reference.beyond.estimators.hypernetwork import Hypernetwork
from reference.beyond.estimators.price import LOSS
from reference.beyond.problems.grouped import GroupedPenalties
from reference.console import records
from reference.console.command import UserError
from reference.problems.ridge import Ridge
from reference.rule.updates import DELTA_STN, STN
from toy.data.datasets import load
from toy.paper import experiments, jobs, runs

pytestmark = pytest.mark.usefixtures("no_types_checked")

seeds, sizes = st.integers(0, 10_000), st.integers(2, 6)
FAST = ("ridge", "8-penalties", "44-penalties")


def regression(seed, m, many):
    """Ridge or a penalty for each feature, on noise."""
    rng = np.random.default_rng(seed)
    X, t, X_valid, t_valid = (rng.standard_normal(shape) for shape in ((30, m), 30, (11, m), 11))
    return (
        GroupedPenalties(X, t, X_valid, t_valid, group=tuple(range(m)), divisor=30.0)
        if many
        else Ridge(X, t, X_valid, t_valid, divisor=30.0)
    )


def classification(seed, p):
    """Three classes, all of them on both sides."""
    rng = np.random.default_rng(seed)
    t, t_valid = np.resize(np.arange(3), 40), np.resize(np.arange(3), 20)
    X, X_valid = rng.standard_normal((40, p)) + t[:, None], rng.standard_normal((20, p)) + t_valid[:, None]
    return CountedLogistic(X, t, X_valid, t_valid, classes=3, divisor=40.0, h=5)


def kept():
    """A list, and a function that appends to it."""
    points = []
    return points, lambda price, lam: points.append((price, np.array(lam)))


@given(seeds, sizes, st.booleans(), st.floats(-4, 6))
def test_ridge_cv_reports_the_exact_outer_loss_of_the_penalty_that_it_takes(seed, m, many, low):
    problem = regression(seed, m, many)
    task = replace(TASKS["ridge"], lam0=np.zeros(m if many else 1), bounds=(low, low + 3))
    points, keep = kept()
    loss = ridge_cv(task, problem, 0, keep, points=4)
    ((_, lam),) = points
    assert_allclose(loss, problem.outer_loss(lam), rtol=1e-8)
    grid = np.linspace(low, low + 3, 4)[:, None] * np.ones(task.h)
    assert_allclose(loss, problem.outer_loss(grid).min(), rtol=1e-8)


@settings(max_examples=10)
@given(seeds, st.integers(1, 3), st.floats(-2, 2))
def test_grid_search_reports_the_exact_outer_loss_of_the_decay_that_it_takes(seed, p, low):
    problem = classification(seed, p)
    task = replace(TASKS["logistic"], lam0=np.zeros(5), bounds=(low, low + 3))
    points, keep = kept()
    loss = logistic_cv(task, problem, 0, keep, points=3)
    ((price, lam),) = points
    # scikit-learn stops at a gradient of 1e-4.
    assert_allclose(loss, problem.outer_loss(lam), rtol=1e-3)
    grid = np.array([[c, lam[1], 0, 0, 0] for c in np.linspace(low, low + 3, 3)])
    assert_allclose(loss, problem.outer_loss(grid).min(), rtol=1e-3)
    assert price >= 3 * (1 + LOSS)


@settings(max_examples=10)
@given(seeds, sizes, st.sampled_from(["ridge", "many", "logistic"]))
def test_the_oracle_gives_the_outer_loss_and_eqn_2_4(seed, m, kind):
    problem = classification(seed, m) if kind == "logistic" else regression(seed, m, kind == "many")
    h = 5 if kind == "logistic" else m if kind == "many" else 1
    lam = np.random.default_rng(seed).uniform(-2, 2, h)
    oracle = Oracle(problem)
    loss, slope = oracle.loss_and_gradient(lam)
    assert loss == oracle.loss(lam)
    assert_allclose(loss, problem.outer_loss(lam), rtol=1e-12)
    steps = 1e-5 * np.eye(h)
    differences = [(problem.outer_loss(lam + e) - problem.outer_loss(lam - e)) / 2e-5 for e in steps]
    assert_allclose(slope, differences, rtol=1e-6, atol=1e-8)


@settings(max_examples=5)
@given(seeds, sizes, st.booleans())
def test_prices_are_those_of_the_estimators(seed, m, many):
    problem, rng = regression(seed, m, many), np.random.default_rng(seed)
    lam, h = np.zeros(m if many else 1), m if many else 1
    oracle = Oracle(problem)
    oracle.loss_and_gradient(lam)
    assert_allclose(oracle.price, Exact()(problem, lam, np.zeros(m), 0.0, rng).price)
    for method in (STN, DELTA_STN, DELTA_STN_CV):
        paid = [
            Hypernetwork(method, sigma=0.1, alpha1=1e-3)(problem, lam, np.zeros(m), budget, rng, batch=10).price
            for budget in (0.0, 10.0)
        ]
        step = prices.inner_step(method, 10, 30, h)
        assert_allclose((paid[1] - paid[0]) / step, np.floor((10.0 - paid[0]) / step + 1e-9))
        assert_allclose(prices.outer_step(30, h), paid[0] + h / 60)  # Θε as well


def test_logistic_regressions_price_is_what_newtons_method_asked_for():
    # Nothing can be learnt from inputs of zeros: two steps of length 0, each with a loss before and after it; a third,
    # not taken, that shows how many digits there are; then L_V.
    zeros, t = np.zeros((6, 2)), np.resize(np.arange(3), 6)
    problem = CountedLogistic(zeros, t, zeros, t, classes=3, divisor=6.0, h=5)
    oracle = Oracle(problem)
    oracle.loss(np.zeros(5))
    n, m = size(problem)
    assert (n, m) == (6, 6)
    step = m / 4 + (m**3 / 3 + 2 * m**2) / (4 * n * m) + 1
    assert_allclose(oracle.price, 2 * (step + 2 * LOSS) + step + LOSS)


@pytest.mark.parametrize("name", FAST)
def test_traces_never_go_back_in_time_or_price(name):
    task = TASKS[name].quick()
    task = replace(task, trials={"TPE": 3})
    for label, item in alternatives(task):
        trace = once(task, item, 0)
        assert len(trace.seconds) == len(trace.price) == len(trace.lam) > 0, label
        assert (np.diff(trace.seconds) >= 0).all(), label
        assert (np.diff(trace.price) > 0).all(), label
        assert trace.price[0] > 0, label
        assert {lam.shape for lam in trace.lam} == {(task.h,)}, label


def test_a_larger_grid_costs_more():
    task = TASKS["8-penalties"]
    costs = [once(task, item, 0).price[0] for name, item in alternatives(task) if name == "RidgeCV"]
    assert len(costs) == len(task.grids)
    assert (np.diff(costs) > 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_hypernetworks_lam_is_that_of_the_toy_experiment(method, tmp_path, monkeypatch):
    schedule = replace(experiments.EXPERIMENTS["ridge"].schedule, warm_up=20, updates=10, keep_every=5)
    sigma = 0.3 if method == DELTA_STN_CV.name else 1.0
    experiment = replace(experiments.EXPERIMENTS["ridge"], schedule=schedule, sigma=sigma)
    chosen = next(item for item in (STN, DELTA_STN, DELTA_STN_CV) if item.name == method)
    runs.execute(list(jobs.pending(experiment, load("diabetes"), [chosen], [3], tmp_path)), 1)
    (record,) = records.find(tmp_path)
    trace = once(replace(TASKS["ridge"], schedule=schedule), METHODS[method], 3)
    assert_allclose(np.array(trace.lam)[:, 0], record.history["lam"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_a_descent_from_the_best_of_a_line_is_not_left_on_the_level_part(seed):
    task = TASKS["ridge"]
    trace, problem = once(task, lbfgs, seed), task.problem(seed)
    assert problem.regret(trace.lam[-1], problem.optimum()) < 1e-4


def test_repeats_differ_in_time_alone():
    lam = [np.zeros(2), np.full(2, np.nan)]
    group = [Trace([1.0, moment], [2.0, 3.0], lam) for moment in (9.0, 5.0, 6.0)]
    assert combined(group).seconds == [1.0, 6.0]
    with pytest.raises(ValueError, match="another way"):
        combined([group[0], Trace([1.0, 5.0], [2.0, 3.0], [np.zeros(2), np.ones(2)])])
    with pytest.raises(ValueError, match="another way"):
        combined([group[0], Trace([1.0, 5.0], [2.0, 4.0], lam)])


@given(st.integers(1, 400), st.integers(2, 30))
def test_thinning_keeps_both_ends_and_the_order(length, count):
    few = thinned(Trace([float(i) for i in range(length)], [0.0] * length, [np.zeros(1)] * length), count)
    assert few.seconds[0] == 0
    assert few.seconds[-1] == length - 1
    assert (np.diff(few.seconds) > 0).all()
    assert len(few.lam) == len(few.price) == len(few.seconds) <= count


def test_the_regret_in_the_record_is_that_of_the_problem(monkeypatch):
    task = TASKS["ridge"]
    problem = task.problem(2)
    best = problem.optimum()
    lam = [np.array([-1.0]), best.lam_star, np.array([np.nan])]
    monkeypatch.setattr(measure, "alternatives", lambda task: iter([("one", None)]))
    rows = list(judged(task, {2: {0: Trace([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], lam)}}))
    assert [(row["method"], row["seed"], row["seconds"], row["price"]) for row in rows] == [
        ("one", 2, 1.0, 4.0),
        ("one", 2, 2.0, 5.0),
        ("one", 2, 3.0, 6.0),
    ]
    assert_allclose(rows[0]["regret"], problem.regret(lam[0], best), rtol=1e-3)
    assert_allclose(rows[1]["regret"], 0.0, atol=1e-9)
    assert rows[2]["regret"] == np.inf


def test_no_regret_is_below_zero_whatever_was_seen():
    task = TASKS["8-penalties"]
    problem = task.problem(0)
    least = optimum(task, problem, np.inf)
    (seen,) = outer_losses(problem, Trace([0.0], [0.0], [task.lam0]))
    assert least < seen
    assert optimum(task, problem, least / 2) == least / 2


def test_the_command_writes_a_record_that_the_figure_draws(tmp_path, monkeypatch, capsys):
    # What takes longer than this is not repeated: that repeats agree is tested above.
    monkeypatch.setitem(TASKS, "ridge", replace(TASKS["ridge"], patience=0.02))
    monkeypatch.setattr(sys, "argv", ["x", "ridge", "--quick", "--seeds", "2", "--out", str(tmp_path)])
    assert command.main() == 0
    assert str(tmp_path) in capsys.readouterr().out
    (record,) = records.find(tmp_path)
    names = {name for name, _ in alternatives(TASKS["ridge"])}
    assert set(record.history["method"]) == names
    assert_array_equal(np.unique(record.history["seed"]), [0, 1])
    assert (record.history["regret"] >= 0).all()
    assert record.facts["versions"].keys() >= {"scikit-learn", "optuna", "scipy"}
    assert shown([record]) == [record]
    assert {line.get_gid() for line in draw([record]).axes[0].lines} == names


def test_an_unknown_task_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["x", "lasso", "--out", str(tmp_path / "none")])
    with pytest.raises(UserError, match="unknown task 'lasso'"):
        command.main()
    assert not (tmp_path / "none").exists()
