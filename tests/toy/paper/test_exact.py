"""Exact answers, as recorded and as `python -m toy exact` prints them, against scikit-learn's Ridge and SciPy."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.linear_model import Ridge as SklearnRidge

from reference.console.command import UserError
from reference.rule.hypernet import FullResponse
from reference.rule.updates import DELTA_STN, METHODS, STN, Method, State
from toy.console.cli import exact_main
from toy.data.datasets import Dataset, load, read_csv
from toy.data.split import Split, split
from toy.loop.trajectory import stacked
from toy.paper.exact import exact_columns
from toy.paper.experiments import EXPERIMENTS

SAME = 1e-9
"""scikit-learn by its SVD, against normal equations whose condition number reaches 1e5 in what is shipped."""

LOCATED = 1e-4
"""λ* is found to the square root of rounding over the curve's curvature, which is small where the curve is flat."""

STEP = np.finfo(float).eps ** (1 / 3)
names = st.sampled_from(["ridge", "ridge-undivided", "dropout", "linear-network"])
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=8)
"""Where each example searches a grid of fits."""


# `python -m toy exact`, recomputed.


def validation_loss(name, parts, lam):
    """L_V at the best response, which scikit-learn finds."""
    n = len(parts.X)
    scale = np.sqrt((parts.X**2).sum(axis=0)) if name == "dropout" else np.ones(parts.X.shape[1])
    alpha = np.exp(lam) * (n if name == "ridge-undivided" else 1)
    ridge = SklearnRidge(alpha=alpha, fit_intercept=False, solver="svd").fit(parts.X / scale, parts.t)
    return np.mean((parts.X_valid / scale @ ridge.coef_ - parts.t_valid) ** 2) / 2


def best(name, parts):
    """λ* and its loss: a grid over [-15, 15], and a minimiser between the neighbours of its best point."""
    grid = np.linspace(-15.0, 15.0, 121)
    k = int(np.argmin([validation_loss(name, parts, lam) for lam in grid]))
    low, high = grid[max(k - 1, 0)], grid[min(k + 1, 120)]
    actual: Any = minimize_scalar(
        lambda lam: validation_loss(name, parts, lam), bounds=(low, high), method="bounded", options={"xatol": 1e-9}
    )
    return actual.x, actual.fun


def answer(capsys, *arguments):
    assert exact_main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.mark.parametrize("seed", [0, 1, 7])
@pytest.mark.parametrize("data", ["diabetes", "concrete"])
@pytest.mark.parametrize("name", ["ridge", "ridge-undivided", "dropout", "linear-network"])
def test_the_command_says_what_scikit_learn_and_scipy_find(capsys, name, data, seed):
    actual = answer(capsys, name, "--data", data, "--seed", str(seed), "--lam", "-0.7")
    parts = split(load(data), seed)
    lam_star, loss_star = best(name, parts)
    assert (actual["experiment"], actual["data"], actual["seed"], actual["lam"]) == (name, data, seed, -0.7)
    assert_allclose(actual["validation_loss_star"], loss_star, rtol=SAME)
    if actual["where"] == "interior":
        assert_allclose(actual["lam_star"], lam_star, atol=LOCATED)
    else:
        assert actual["lam_star"] == {"lower end": -15.0, "upper end": 15.0}[actual["where"]]
        assert_allclose(lam_star, actual["lam_star"], atol=0.25)
    assert_allclose(actual["validation_loss"], validation_loss(name, parts, -0.7), rtol=SAME)
    ahead, behind = (validation_loss(name, parts, -0.7 + h) for h in (STEP, -STEP))
    assert_allclose(actual["hypergradient"], (ahead - behind) / (2 * STEP), rtol=1e-6, atol=1e-9)
    unit, s = ("rate", expit) if name == "dropout" else ("penalty", np.exp)
    assert_allclose(actual[f"{unit}_star"], s(actual["lam_star"]), rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "data", "lam"),
    [
        ("ridge", "diabetes", 0.0),
        ("ridge", "concrete", np.log(50.0)),
        ("ridge-undivided", "concrete", np.log(50.0)),
        ("linear-network", "diabetes", 0.0),
        ("dropout", "diabetes", logit(0.2)),
        ("dropout", "concrete", logit(0.2)),
    ],
)
def test_without_lam_the_command_answers_at_the_start_of_the_experiment(capsys, name, data, lam):
    actual = answer(capsys, name, "--data", data)
    assert actual["seed"] == 0
    assert_allclose(actual["lam"], lam, rtol=1e-14)
    assert_allclose(actual["validation_loss"], validation_loss(name, split(load(data), 0), lam), rtol=SAME)


def test_one_answer_for_each_data_set(capsys):
    actual = answer(capsys, "ridge", "--data", "all")
    assert [item["data"] for item in actual] == ["diabetes", "concrete", "abalone"]


def test_without_json_the_same_is_printed_for_people(capsys):
    exact = answer(capsys, "dropout")
    assert exact_main(["dropout"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    assert {line[0]: " ".join(line[1:]) for line in lines} == {name: str(value) for name, value in exact.items()}


@pytest.fixture
def wide(tmp_path):
    """A CSV of more features than rows."""
    rng = np.random.default_rng(0)
    rows = [",".join(map(str, row)) for row in rng.normal(size=(12, 20))]
    path = tmp_path / "wide.csv"
    path.write_text("\n".join([",".join(f"x{j}" for j in range(20)), *rows]))
    return path


@pytest.mark.parametrize("lam", ["-800", "800"])
def test_a_lam_whose_penalty_is_0_or_infinite_is_refused(wide, lam):
    with pytest.warns(UserWarning, match="exactly dependent"), pytest.raises(UserError, match="choose a λ nearer to 0"):
        exact_main(["ridge", "--csv", str(wide), "--target", "x0", "--lam", lam])


@pytest.mark.parametrize("lam", ["-30", "-40"])
def test_of_more_features_than_rows_a_vanishing_penalty_takes_the_shortest_weights(capsys, wide, lam):
    with pytest.warns(UserWarning, match="exactly dependent"):
        exact = answer(capsys, "ridge", "--csv", str(wide), "--target", "x0", "--lam", lam)
    with pytest.warns(UserWarning, match="exactly dependent"):
        parts = split(read_csv(wide, "x0"), 0)
    w = parts.X.T @ np.linalg.lstsq(parts.X @ parts.X.T, parts.t)[0]
    assert_allclose(exact["validation_loss"], np.mean((parts.X_valid @ w - parts.t_valid) ** 2) / 2, rtol=1e-7)


def test_a_lam_far_from_0_is_answered_where_it_can_be(capsys):
    parts = split(load("diabetes"), 0)
    actual = answer(capsys, "ridge", "--lam", "-200")
    assert_allclose(actual["validation_loss"], validation_loss("ridge", parts, -200.0), rtol=SAME)
    actual = answer(capsys, "ridge", "--lam", "200")
    assert_allclose(actual["validation_loss"], np.mean(parts.t_valid**2) / 2, rtol=SAME)


# The columns of a record.


def made_up(seed, m=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(30, m))
    return split(Dataset("made-up", X, X @ rng.normal(size=m) + rng.normal(size=30), tuple("abcdef"[:m])), seed)


def random_states(problem, experiment, count, seed):
    """States as a run might keep them."""
    rng = np.random.default_rng(seed)
    w0 = [experiment.weights(rng, problem.X.shape[-1]) for _ in range(count)]
    return [
        State(
            rng.normal(size=1),
            np.ones(1),
            w + 0.1 * rng.normal(size=w.shape),
            FullResponse(0.1 * rng.normal(size=(len(w), 1))),
        )
        for w in w0
    ]


def columns_of(name, seed, method=DELTA_STN, count=4):
    experiment, problem = EXPERIMENTS[name], EXPERIMENTS[name].problem(made_up(seed))
    states = random_states(problem, experiment, count, seed)
    return problem, states, exact_columns(problem, method, stacked(states), problem.optimum(), experiment)


def theta(state):
    assert isinstance(state.response, FullResponse)
    return state.response.Theta[:, 0]


@given(names, seeds)
def test_lam_and_what_a_person_understands_of_it(name, seed):
    _, states, columns = columns_of(name, seed)
    lam = np.array([state.lam[0] for state in states])
    assert_array_equal(columns["lam"], lam)
    if name == "dropout":
        assert_allclose(columns["rate"], 1 / (1 + np.exp(-lam)), rtol=1e-14)
    else:
        assert_allclose(columns["penalty"], np.exp(lam), rtol=1e-14)


@given(names, seeds)
def test_the_validation_loss_is_that_of_scikit_learns_best_response(name, seed):
    _, states, columns = columns_of(name, seed)
    desired = [validation_loss(name, made_up(seed), state.lam[0]) for state in states]
    assert_allclose(columns["validation_loss"], desired, rtol=SAME)


@few
@given(names, seeds)
def test_regret_is_relative_to_the_least_loss_and_never_negative(name, seed):
    _, _, columns = columns_of(name, seed)
    _, loss_star = best(name, made_up(seed))
    assert (columns["regret"] >= -1e-12).all()
    assert_allclose(columns["regret"], (columns["validation_loss"] - loss_star) / loss_star, rtol=SAME, atol=SAME)


@few
@given(names, seeds)
def test_at_lam_star_regret_is_0_and_with_the_exact_theta_so_are_the_errors(name, seed):
    experiment, problem = EXPERIMENTS[name], EXPERIMENTS[name].problem(made_up(seed))
    optimum = problem.optimum()
    # Towards 0: beyond the interval in which λ* is sought the loss may be less.
    lam = np.stack([optimum.lam_star, optimum.lam_star - 0.5 * np.sign(optimum.lam_star)])
    states = [
        State(item, np.ones(1), problem.best_response(item), FullResponse(problem.best_response_jacobian(item)))
        for item in lam
    ]
    columns = exact_columns(problem, DELTA_STN, stacked(states), optimum, experiment)
    assert columns["regret"][0] == 0.0
    assert columns["regret"][1] >= -1e-12
    assert_allclose(columns["theta_error"], 0.0, atol=1e-11)
    assert_allclose(columns["theta_cosine"], 1.0, rtol=1e-11)
    terms = np.abs(columns["hypergradient"]).max() + columns["validation_loss"].max()
    assert_allclose(columns["hypergradient_error"], 0.0, atol=1e-11 * terms)
    assert_allclose(columns["hypergradient"], columns["hypergradient_exact"], rtol=1e-9, atol=1e-11 * terms)


@given(names, seeds)
def test_the_exact_hypergradient_is_that_of_differences(name, seed):
    _, states, columns = columns_of(name, seed)
    parts = made_up(seed)
    desired = [
        (validation_loss(name, parts, lam + STEP) - validation_loss(name, parts, lam - STEP)) / (2 * STEP)
        for lam in (state.lam[0] for state in states)
    ]
    assert_allclose(columns["hypergradient_exact"], desired, rtol=1e-6, atol=1e-9)


@given(names, seeds, st.sampled_from(METHODS))
def test_the_learned_hypergradient_is_theta_times_the_gradient_at_the_current_weights(name, seed, method: Method):
    problem, states, columns = columns_of(name, seed, method)
    X, t = problem.X_valid, problem.t_valid
    for k, state in enumerate(states):
        w = state.w0 + (theta(state) * state.lam[0] if method == STN else 0.0)
        ahead, behind = (problem.f(w + h * theta(state)) for h in (STEP, -STEP))
        dv = (ahead - behind) / (2 * STEP)  # J_vw Θ
        learned = dv @ X.T @ (X @ problem.f(w) - t) / len(t)
        assert_allclose(columns["hypergradient"][k], learned, rtol=1e-6, atol=1e-8)
        exact_dv = problem.best_output_jacobian(state.lam)[:, 0]
        error = np.linalg.norm(dv - exact_dv) / np.linalg.norm(exact_dv)
        cosine = dv @ exact_dv / np.linalg.norm(dv) / np.linalg.norm(exact_dv)
        assert_allclose(columns["theta_error"][k], error, rtol=1e-6, atol=1e-8)
        assert_allclose(columns["theta_cosine"][k], cosine, rtol=1e-6, atol=1e-8)
    learned, exact = columns["hypergradient"], columns["hypergradient_exact"]
    assert_allclose(columns["hypergradient_error"], np.abs(learned - exact), rtol=1e-12)
    assert_array_equal(columns["hypergradient_cosine"], np.where((learned > 0) == (exact > 0), 1.0, -1.0))


@given(seeds)
def test_few_weights_are_recorded_themselves_and_many_are_not(seed):
    experiment = EXPERIMENTS["nonlinear"]
    problem = experiment.problem(made_up(seed))
    held = replace(random_states(problem, experiment, 1, seed)[0], lam=np.array([0.2]))
    columns = exact_columns(problem, DELTA_STN, stacked([held]), problem.optimum(), experiment)
    for i in range(2):
        assert columns[f"w_{i + 1}"] == held.w0[i]
        assert columns[f"theta_{i + 1}"] == theta(held)[i]
    assert not any(name.startswith(("w_", "theta_1")) for name in columns_of("ridge", seed)[2])


@given(seeds)
def test_where_lam_is_held_all_of_theta_is_recorded(seed):
    problem, states, columns = columns_of("response", seed)
    for i in range(problem.X.shape[-1]):
        assert_array_equal(columns[f"theta_{i + 1}"], [theta(state)[i] for state in states])
        assert_array_equal(columns[f"w_{i + 1}"], [state.w0[i] for state in states])


@given(seeds)
def test_for_stn_the_current_weights_are_recorded_not_phi0(seed):
    experiment = EXPERIMENTS["one-feature"]
    problem = experiment.problem(made_up(seed))
    (state,) = random_states(problem, experiment, 1, seed)
    columns = exact_columns(problem, STN, stacked([state]), problem.optimum(), experiment)
    assert_allclose(columns["w_1"], state.w0[0] + theta(state)[0] * state.lam[0], rtol=1e-14)


# Where a denominator is 0.


def states_at(problem, lams, Theta):
    w = problem.best_response(np.array([0.0]))
    return [State(np.array([lam]), np.ones(1), w, FullResponse(np.full((len(w), 1), Theta))) for lam in lams]


def test_a_target_that_is_predicted_perfectly_at_lam_star_leaves_no_regret_there_and_a_large_one_elsewhere():
    experiment, parts = EXPERIMENTS["ridge"], made_up(0)
    problem = experiment.problem(
        replace(parts, t_valid=parts.X_valid @ experiment.problem(parts).best_response(np.zeros(1)))
    )
    assert problem.outer_loss(np.zeros(1)) == 0.0
    optimum = problem.optimum_at(np.zeros(1), np.array("interior"))
    columns = exact_columns(problem, DELTA_STN, stacked(states_at(problem, [0.0, 1.0], 0.1)), optimum, experiment)
    # In units of what rounding leaves uncertain: 10 eps of the validation rows' length, squared.
    assert columns["regret"][0] == 0.0
    assert columns["regret"][1] == problem.outer_loss(np.ones(1)) / optimum.rounding > 1e20


def test_a_target_without_any_relation_to_the_features_has_no_regret_and_no_jacobian():
    experiment = EXPERIMENTS["ridge"]
    half = np.tile([1.0, 1.0, -1.0, -1.0], 3)
    parts = Split(np.tile([1.0, -1.0], 6)[:, None], half, np.ones((2, 1)), np.array([1.0, 2.0]))
    problem = experiment.problem(parts)
    optimum = problem.optimum()
    assert optimum.where == "flat"
    columns = exact_columns(problem, DELTA_STN, stacked(states_at(problem, [0.0, 1.0], 0.0)), optimum, experiment)
    assert_array_equal(columns["regret"], [0.0, 0.0])
    assert_array_equal(columns["theta_error"], [0.0, 0.0])
    assert_array_equal(columns["theta_cosine"], [0.0, 0.0])
    columns = exact_columns(problem, DELTA_STN, stacked(states_at(problem, [0.0, 1.0], 0.1)), optimum, experiment)
    assert_array_equal(columns["theta_error"], [np.inf, np.inf])


@few
@given(names, seeds)
def test_steps_are_as_if_alone(name, seed):
    problem, states, columns = columns_of(name, seed)
    for k, state in enumerate(states):
        alone = exact_columns(problem, DELTA_STN, stacked([state]), problem.optimum(), EXPERIMENTS[name])
        for column, values in alone.items():
            assert_allclose(columns[column][k], values[0], rtol=1e-12, atol=1e-13)
