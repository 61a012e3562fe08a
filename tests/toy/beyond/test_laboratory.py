"""The laboratory: regimes are what they say, and rows hold what an estimator gives, bit for bit."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reference.beyond.control_variate.updates import DELTA_STN_CV_NORMALISED, DELTA_STN_NORMALISED, extended
from reference.beyond.estimators.estimator import Estimator
from reference.beyond.estimators.hypernetwork import Hypernetwork
from reference.beyond.estimators.implicit import ConjugateGradient
from reference.beyond.estimators.price import Inner
from reference.beyond.problems.logistic import Logistic
from reference.console import records
from reference.console.command import UserError
from reference.rule.hypernet import FullResponse
from toy.beyond import laboratory
from toy.beyond.lineup import estimators
from toy.beyond.regimes import FULL, SMALL, spectral
from toy.console.cli import main


@settings(max_examples=5)
@given(st.integers(2, 12), st.integers(1, 2), st.floats(0.0, 8.0), st.integers(0, 99))
def test_a_constructed_hessian_has_its_condition_and_its_largest_eigenvalue_is_one(m, h, power, seed):
    problem, lam = spectral(m, h, 10**power, rows=4 * m)(seed)
    eigenvalues = np.linalg.eigvalsh(problem.hess_ww(lam, np.zeros(m)))
    assert len(lam) == h
    # The least is right to rounding of the largest.
    assert_allclose(eigenvalues, np.sort(np.geomspace(1.0, 10**-power, m)), rtol=1e-9, atol=1e-13)


def test_the_weights_are_trained_and_both_sizes_have_the_same_regimes():
    assert list(SMALL) == list(FULL)
    for regime in SMALL.values():
        subject = regime.instance(0)
        scale = np.abs(subject.problem.hess_ww(subject.lam, subject.w)).max() * np.abs(subject.w).max()
        assert_allclose(subject.problem.grad_w(subject.lam, subject.w), 0.0, atol=1e-10 * scale)


def test_newton_takes_the_steps_to_softmax_regressions_weights_that_are_paid_for(monkeypatch):
    formed = []

    def counted(problem: Logistic, lam: np.ndarray, v: np.ndarray) -> np.ndarray:
        formed.append(1)
        return hess(problem, lam, v)

    hess = Logistic.train_hess_vv
    monkeypatch.setattr(Logistic, "train_hess_vv", counted)
    for seed in range(3):
        formed.clear()
        SMALL["softmax"].instance(seed)
        assert len(formed) == SMALL["softmax"].newton + 1  # the last shows how many digits there are


def test_rows_are_what_the_estimator_gives():
    regime = SMALL["one-penalty"]
    subject = regime.instance(3)
    exact = subject.problem.hypergradient(subject.lam)
    (row,) = laboratory.rows(ConjugateGradient(), [9.0], subject, exact, None, seed=3)
    actual = ConjugateGradient()(subject.problem, subject.lam, subject.w, 9.0, np.random.default_rng(0))
    assert row["price"] == actual.price == 9.0
    assert_allclose(row["relative_error"], np.abs(actual.gradient - exact) / np.abs(exact))
    assert (row["cosine"], row["sign"]) == (1.0, 1.0)


def test_an_estimate_that_is_not_finite_is_infinitely_wrong_and_none_at_all_has_no_direction():
    assert laboratory.compare(np.array([np.nan, 1.0]), np.ones(2))["relative_error"] == np.inf
    assert laboratory.compare(np.zeros(2), np.ones(2)) == {"relative_error": 1.0, "cosine": 0.0, "sign": 0.0}


def lineup(regime: str, **changes: np.ndarray) -> dict[str, tuple[Estimator, tuple[float, ...]]]:
    subject = SMALL[regime].instance(0)
    spectrum = np.linalg.eigvalsh(subject.problem.hess_ww(subject.lam, subject.w))
    entries = estimators(replace(subject, **changes), spectrum, SMALL[regime])
    return {estimator.name: (estimator, budgets) for estimator, budgets in entries}


def test_every_estimator_is_there_and_those_without_a_meaning_are_left_out():
    names = [
        "exact",
        "central differences",
        "evolution strategies",
        "Cholesky",
        "conjugate gradient",
        "Neumann",
        "T1-T2",
        "forward unrolling",
        "truncated forward unrolling",
        "unrolling",
        "truncated unrolling",
        "STN",
        "Centered STN",
        "Δ-STN",
        "Δ-STN, normalised",
        "Δ-STN, normalised, carried over",
        "Δ-STN with control variate, normalised",
        "Δ-STN with control variate, normalised, carried over",
    ]
    assert list(lineup("one-penalty")) == list(lineup("softmax")) == list(lineup("batches-10")) == names
    assert [name for name in names if name not in lineup("linear-network")] == ["Cholesky"]  # H is singular
    large = lineup("condition-1", lam=np.zeros(1000), w=np.zeros(2000))
    assert [name for name in names if name not in large] == ["central differences"]


def at_small_sigma(regime: str) -> tuple[Hypernetwork, Hypernetwork]:
    plain, varied = (lineup(regime)[name][0] for name in (DELTA_STN_NORMALISED.name, DELTA_STN_CV_NORMALISED.name))
    assert isinstance(plain, Hypernetwork)
    assert isinstance(varied, Hypernetwork)
    return plain, varied


def test_with_the_control_variate_and_without_it_all_else_is_equal():
    plain, varied = at_small_sigma("batches-10")
    assert replace(plain, method=varied.method) == varied
    assert replace(extended(plain.method), name=varied.name, control_variate=True) == varied.method


def test_the_control_variate_does_nothing_where_the_batch_is_full_and_the_weights_are_trained():
    base, thetas = SMALL["condition-1e2"].instance(0), []
    for estimator in at_small_sigma("condition-1e2"):
        inner = Inner(base.problem, len(base.w), np.random.default_rng(0))
        end = estimator.train(inner, estimator.start(base.lam, base.w), 30)
        assert isinstance(end.response, FullResponse)
        thetas.append(end.response.Theta)
    # What is left of ∂L_T/∂w at r(λ) is rounding, divided by σ.
    assert_allclose(thetas[0], thetas[1], atol=1e-9 * np.abs(thetas[1]).max())


def test_the_control_variate_is_what_bears_a_small_sigma_in_mini_batches():
    regime = SMALL["batches-10"]
    subject = regime.instance(0)
    exact = subject.problem.hypergradient(subject.lam)
    errors = [
        [
            row["relative_error"]
            for row in laboratory.rows(estimator, regime.budgets[1:], subject, exact, regime.batch, 0)
        ]
        for estimator in at_small_sigma("batches-10")
    ]
    assert min(errors[0]) > 10 * max(errors[1])


@pytest.fixture
def toy(monkeypatch) -> Callable[..., int]:
    """`toy estimators ARGUMENTS` in this process, at two low budgets."""
    short = {name: replace(regime, budgets=(4.0, 8.0)) for name, regime in SMALL.items()}
    monkeypatch.setitem(laboratory.SIZES, "small", short)
    monkeypatch.setattr("toy.beyond.lineup.UPDATES", 3)

    def command(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["toy", "estimators", *map(str, arguments)])
        return main()

    return command


def histories(root: Path) -> list[dict[str, np.ndarray]]:
    return [{k: v for k, v in item.history.items() if k != "seconds"} for item in records.find(root)]


def test_runs_repeat_bit_for_bit_and_finished_ones_are_kept(toy, tmp_path, capsys):
    options = ("--regime", "one-penalty", "--jobs", "1", "--seeds")
    assert toy(*options, 2, "--out", tmp_path / "a") == toy(*options, 1, "--out", tmp_path / "b") == 0
    first, second = histories(tmp_path / "a"), histories(tmp_path / "b")
    assert (len(first), len(second)) == (2, 1)
    for name, column in second[0].items():
        np.testing.assert_array_equal(first[0][name], column)
    capsys.readouterr()
    assert toy(*options, 2, "--out", tmp_path / "a") == 0
    assert capsys.readouterr().out.startswith("0 new runs; ")
    record = next(records.find(tmp_path / "b"))
    assert (record.facts["m"], record.facts["h"], record.facts["n"]) == (10, 1, 353)


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [(["--regime", "cold"], "unknown regime 'cold'; choose from one-penalty, .*all"), (["--seeds", "0"], "whole")],
)
def test_bad_arguments_are_refused_in_one_line(toy, tmp_path, arguments, pattern):
    with pytest.raises(UserError, match=pattern):
        toy(*arguments, "--out", tmp_path / "none")
    assert not (tmp_path / "none").exists()
