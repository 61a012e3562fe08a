"""What structure costs: the columns against the exact answers they are measured by, on small random features."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import logit

from reference.beyond.problems.grouped import GroupedPenalties, GroupedRates
from reference.beyond.theory.rank_one import OneUnit, excess
from reference.console import records
from toy.beyond import structure
from toy.beyond.features import random_features
from toy.console.processes import execute
from toy.data.datasets import load
from toy.data.split import split

pytestmark = pytest.mark.usefixtures("no_types_checked")


@pytest.fixture
def problem() -> GroupedPenalties:
    data = random_features(split(load("diabetes"), 0), 12, seed=0)
    group = tuple(j * 4 // 12 for j in range(12))
    return GroupedPenalties(data.X, data.t, data.X_valid, data.t_valid, group, divisor=float(len(data.X)))


def test_random_features_are_scaled_on_the_training_rows_and_seeded():
    narrow = split(load("diabetes"), 0)
    wide, again, other = (random_features(narrow, 30, seed) for seed in (3, 3, 4))
    assert_allclose(wide.X.mean(axis=0), 0.0, atol=1e-12)
    assert_allclose(wide.X.std(axis=0), 1.0, rtol=1e-12)
    assert wide.X_valid.shape == (len(narrow.X_valid), 30)
    assert np.array_equal(wide.X_valid, again.X_valid)
    assert not np.allclose(wide.X, other.X)
    # The validation rows go through the same map: fed as training rows, they differ by shift and scale alone.
    swapped = random_features(replace(narrow, X=narrow.X_valid, t=narrow.t_valid), 30, 3)
    for ours, theirs in zip(wide.X_valid.T, swapped.X.T, strict=True):
        assert abs(np.corrcoef(ours, theirs)[0, 1]) > 1 - 1e-12


def test_the_compressed_loss_differs_by_a_constant(problem):
    small, rng = structure.compressed(problem), np.random.default_rng(0)
    lam, w = rng.normal(size=(5, 4)), rng.normal(size=(5, 12))
    assert small.n == 12
    gap = problem.train_loss(lam, w) - small.train_loss(lam, w)
    assert_allclose(gap, gap[0], rtol=1e-10)
    assert_allclose(small.grad_w(lam, w), problem.grad_w(lam, w), rtol=1e-9, atol=1e-12)
    assert_allclose(small.best_response_jacobian(lam), problem.best_response_jacobian(lam), rtol=1e-9, atol=1e-12)


def test_one_penalty_costs_nothing_and_the_measures_are_against_the_exact_hypergradient(problem, monkeypatch):
    monkeypatch.setattr(structure, "STEPS", 1500)
    point = np.log(structure.PENALTY)
    subject = dict(structure.measured(replace(problem, group=(0,) * 12), point, seed=0))
    for name in ("frobenius", "loss"):
        assert_allclose([subject[f"{name}_error"], subject[f"{name}_left"]], 0.0, atol=1e-9)
        assert subject[f"{name}_cosine"] == pytest.approx(1.0)
    four = dict(structure.measured(problem, point, seed=0))
    # In its own metric the least loss is least, and so below the nearest and below whatever training finds.
    assert 0 < four["loss_left"] <= four["frobenius_left"]
    assert four["loss_left"] <= four["structured_left"] + 1e-9
    # The full response has no such floor.
    assert four["full_left"] < 0.5 * four["loss_left"]
    assert four["full_error"] < 0.2


def test_rates_of_scaled_features_are_penalties_of_their_odds_times_the_rows(problem):
    # D = diag(XᵀX) = nI.
    penalty = problem.n * structure.RATE / (1 - structure.RATE)
    penalties = dict(structure.measured(problem, np.log(penalty)))
    rates = GroupedRates(problem.X, problem.t, problem.X_valid, problem.t_valid, problem.group)
    for name, value in structure.measured(rates, logit(structure.RATE)):
        assert_allclose(value, penalties[name], rtol=1e-9)


def test_any_hypergradient_is_one_units_but_not_by_training(problem):
    # r = ∂L_V/∂w and u = g/‖r‖²: rank one is no obstacle to Θᵀ∂L_V/∂w, only Eqn. 3.10 does not look for it.
    lam = np.full(4, np.log(structure.PENALTY))
    g, r = problem.hypergradient(lam), problem.valid_grad_w(lam, problem.best_response(lam))
    assert_allclose(OneUnit(r, g / (r @ r)).adjoint(r), g, rtol=1e-12)


def test_of_many_rates_of_steps_the_one_with_the_least_loss_is_kept(problem, monkeypatch):
    monkeypatch.setattr(structure, "STEPS", 300)
    lam, sigma = np.full(4, np.log(structure.PENALTY)), np.full(4, structure.SIGMA)
    r, Theta = problem.best_response(lam), problem.best_response_jacobian(lam)
    H, rates = problem.hess_ww(lam, r), structure.RATES

    def left(tried):
        monkeypatch.setattr(structure, "RATES", tried)
        return excess(structure.learned(problem, lam, r, Theta, H, 0)["structured"].Theta, Theta, H, sigma)

    alone = [left(np.array([rate])) for rate in rates]
    finite = [value for value in alone if np.isfinite(value)]
    assert min(finite) < 0.9 * max(finite)
    assert len(finite) < len(rates)
    assert_allclose(left(rates), min(finite), rtol=1e-6)


def test_a_row_is_at_penalties_of_50_and_rates_of_a_fifth(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(structure, "GROUPS", {10: (5,)})
    monkeypatch.setattr(structure, "TRAINED", 0)
    job = structure.Job(load("diabetes"), 10, tmp_path, seed=1)
    structure.run(job)
    history, data = records.read(job.folder(1)).history, random_features(split(load("diabetes"), 1), 10, 1)
    n, groups = len(data.X), np.repeat(np.arange(5), 2)
    # Odds of a fifth are a quarter; D = nI.
    for prefix, penalty in (("", 50.0), ("rate_", n / 4)):
        K = data.X.T @ data.X + penalty * np.eye(10)
        r = np.linalg.solve(K, data.X.T @ data.t)
        Theta = np.column_stack([-penalty * np.linalg.solve(K, r * (groups == i)) for i in range(5)])
        g_valid = data.X_valid.T @ (data.X_valid @ r - data.t_valid) / len(data.X_valid)
        U, s, Vh = np.linalg.svd(Theta)
        off = Theta - s[0] * np.outer(U[:, 0], Vh[0])
        exact, estimate = Theta.T @ g_valid, (Theta - off).T @ g_valid
        wanted = {
            "error": np.linalg.norm(estimate - exact) / np.linalg.norm(exact),
            "cosine": estimate @ exact / np.linalg.norm(estimate) / np.linalg.norm(exact),
            "sign": np.mean(estimate * exact > 0),
            "left": np.trace(off.T @ K @ off) / np.trace(Theta.T @ K @ Theta),
        }
        for name, value in wanted.items():
            assert_allclose(history[f"{prefix}frobenius_{name}"], value, rtol=1e-9)


def test_a_record_is_made_once_and_the_same_again(tmp_path: Path, monkeypatch):
    assert {job.width: job.trained for job in structure.pending(["diabetes"], tmp_path)} == {100: True, 1000: False}
    monkeypatch.setattr(structure, "STEPS", 5)
    monkeypatch.setattr(structure, "GROUPS", {10: (1, 5), 20: (1, 20)})
    monkeypatch.setattr(structure, "TRAINED", 10)
    jobs = structure.pending(["diabetes"], tmp_path / "a")
    assert [(job.width, job.trained) for job in jobs] == [(10, True), (20, False)]
    execute(jobs, structure.run, 1)
    assert structure.pending(["diabetes"], tmp_path / "a") == []
    execute(structure.pending(["diabetes"], tmp_path / "b"), structure.run, 1)
    first, second = (sorted((tmp_path / name).rglob("history.csv")) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    trained, exact = (records.read(job.folder(0)).history for job in jobs)
    assert trained["h"].tolist() == [1, 5]
    assert "full_error" in trained
    assert "full_error" not in exact
    assert {"rate_loss_error", "rate_frobenius_error"} <= set(exact)
    assert "rate_full_error" not in trained
    assert_allclose(exact["loss_left"][0], 0.0, atol=1e-9)
