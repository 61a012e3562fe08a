"""Every claim on instances that hypothesis draws, and `python -m reference` as a person runs it."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.beyond.claims import PARTS as BEYOND
from reference.claims import PARTS as PAPER
from reference.claims.registry import INSTANCES, MISPRINT, Claim, Measured, Verdict
from reference.claims.routes import affine_root, central_difference, order, relative_error
from reference.console import check as command
from reference.console.check import CLAIMS
from reference.console.command import UserError
from tests.strategies import generators, seeds

pytestmark = pytest.mark.usefixtures("no_types_checked")

ROOT = Path(__file__).parents[3]
PARTS = (*PAPER, *BEYOND)
KEYS = ["number", "claim", "code", "residual", "tolerance", "holds", "correction", "printed", "detail"]


def name(claim: Claim) -> str:
    """A claim's number and its function's name, which tells those of one number apart."""
    return f"{claim.number.split(',')[0]} {getattr(claim.residual, '__name__', '')}"


@pytest.mark.parametrize("claim", CLAIMS, ids=name)
@settings(max_examples=2)  # of INSTANCES draws each
@given(seed=seeds)
def test_claim_holds_for_any_seed(claim: Claim, seed: int) -> None:
    verdict = claim.check(seed)
    assert verdict.holds, f"residual {verdict.residual} on seed {seed}"
    assert verdict.residual >= 0


# Every number of the paper.


def test_every_numbered_equation_is_claimed() -> None:
    sections = {"2": 7, "3": 14, "C": 32, "D": 27, "E": 1, "F": 1, "G": 9, "H": 4}
    equations = {"1.1"} | {f"{section}.{k + 1}" for section, last in sections.items() for k in range(last)}
    statements = {"Observation 1", "Observation 2", "Theorem 3", "Lemma 4", "Alg. 1", "Alg. 2", "Table 2"}
    beyond = {f"beyond {k + 1}" for k in range(34)}
    assert {label for claim in CLAIMS for label in claim.labels()} == equations | statements | beyond


def test_no_part_is_forgotten() -> None:
    folders = [ROOT / "reference" / "claims", ROOT / "reference" / "beyond" / "claims"]
    files = [path.relative_to(ROOT).with_suffix("") for folder in folders for path in folder.rglob("*.py")]
    support = {"__init__", "instances", "routes", "registry"}
    assert {part.__name__ for part in PARTS} == {".".join(file.parts) for file in files if file.stem not in support}
    assert all(any(claim.residual.__module__ == part.__name__ for claim in CLAIMS) for part in PARTS)


@given(st.sampled_from(sorted({label for claim in CLAIMS for label in claim.labels()})))
def test_a_number_picks_the_claims_that_bear_it_and_no_other(label: str) -> None:
    chosen = command.chosen(label)
    assert chosen == [claim for claim in CLAIMS if label in claim.labels()]
    assert chosen == command.chosen(f" {label.lower()} ")


def test_words_of_a_number_pick_all_that_contain_them() -> None:
    assert {claim.number[0] for claim in command.chosen("G")} == {"G"}
    assert len(command.chosen("observation")) == 2
    assert command.chosen(None) == list(CLAIMS)


@pytest.mark.parametrize("unknown", ["Theorem 30", "3.", "3.100", "heorem 3", "", "  ", ".1", "2.3.", "C.33"])
def test_an_unknown_number_is_refused_with_the_known_ones(unknown: str) -> None:
    with pytest.raises(UserError, match=r"no claim is numbered .*; the numbers are 1\.1, .*Theorem 3.*H\.4"):
        command.chosen(unknown)


# The independent routes themselves.


@given(generators())
def test_relative_error_sees_one_entry_and_a_shape(rng: np.random.Generator) -> None:
    x, k = rng.uniform(1.0, 2.0, 5), int(rng.integers(5))
    y = x.copy()
    y[k] += 1e-3
    assert relative_error(x, x) == 0
    np.testing.assert_allclose(relative_error(y, x), 1e-3 / x.max(), rtol=1e-9)
    np.testing.assert_allclose(relative_error(y, x, np.full(1, 100.0)), 1e-5, rtol=1e-9)
    np.testing.assert_allclose(relative_error(y - x, 0 * x), 1e-3, rtol=1e-9)
    with pytest.raises(ValueError, match="differ"):
        relative_error(x, x[:, None])


@given(generators())
def test_central_difference_of_a_quadratic_and_affine_root(rng: np.random.Generator) -> None:
    M, b, x = rng.normal(size=(3, 4)), rng.normal(size=3), rng.normal(size=4)
    np.testing.assert_allclose(central_difference(lambda y: M @ y**2 + b, x), 2 * M * x, rtol=1e-7, atol=1e-8)
    square = np.eye(3) + 0.1 * rng.normal(size=(3, 3))
    root = affine_root(lambda y: (square @ y.ravel() + b).reshape(1, 3), (1, 3))
    np.testing.assert_allclose(root, np.linalg.solve(square, -b)[None], rtol=1e-10)


@pytest.mark.parametrize("power", [1, 2, 3])
def test_order_of_a_power(power: int) -> None:
    np.testing.assert_allclose(order(lambda t: np.array([3 * t**power])), power, rtol=1e-9)


# The command, in the process.


def failing(residual: float) -> Claim:
    """A claim that does not hold."""
    return Claim("Z.1", "One is two.", 1e-10, lambda rng: Measured(residual, "by one"))


@pytest.mark.parametrize("residual", [1.0, float("nan"), float("inf")])
def test_a_claim_that_does_not_hold_ends_in_status_1(residual: float, monkeypatch, capsys) -> None:
    monkeypatch.setattr(command, "CLAIMS", (CLAIMS[0], failing(residual)))
    assert command.main([]) == 1
    text = capsys.readouterr().out
    assert "DOES NOT HOLD" in text
    assert "2 checked: 1 hold, 1 do not (Z.1)" in text
    assert command.main(["--json"]) == 1
    actual = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)[1]
    assert actual["residual"] == (1.0 if residual == 1.0 else None)
    assert (actual["holds"], actual["correction"], actual["printed"], actual["detail"]) == (False, None, None, "by one")
    assert command.main(["--only", "1.1"]) == 0


def test_a_residual_at_its_tolerance_holds_and_one_above_does_not() -> None:
    point = failing(1e-10)
    assert point.check().holds
    assert not replace(point, tolerance=np.nextafter(1e-10, 0)).check().holds


def successive(*measured: float | Measured, correction: str | None = None) -> Claim:
    """A claim that measures these, instance by instance."""
    assert len(measured) == INSTANCES
    instances = iter(measured)
    return Claim("Z.2", "", 1e-10, lambda rng: next(instances), correction=correction)


@given(st.permutations([1e-12, Measured(1e-9, "the worst"), 0.0, Measured(1e-11, "not it")]))
def test_the_worst_instance_counts_wherever_it_stands(measured: list[float | Measured]) -> None:
    verdict = successive(*measured).check()
    assert (verdict.residual, verdict.detail, verdict.holds) == (1e-9, "the worst", False)


@given(st.permutations([1e-12, Measured(float("nan"), "not a number"), float("inf"), 0.0]))
def test_not_a_number_is_the_worst_of_all(measured: list[float | Measured]) -> None:
    verdict = successive(*measured).check()
    assert np.isnan(verdict.residual)
    assert (verdict.detail, verdict.holds) == ("not a number", False)


@pytest.mark.parametrize(
    ("least", "holds"), [(2 * MISPRINT, True), (MISPRINT, False), (0.0, False), (float("nan"), False), (None, False)]
)
def test_a_correction_holds_where_the_printed_form_is_off_on_every_instance(least: float | None, holds: bool) -> None:
    for place in range(INSTANCES):
        # The residuals lie the other way round: the least error is not the worst instance's.
        measured = [Measured(1e-12 * (k != place), printed=least if k == place else 1.0) for k in range(INSTANCES)]
        assert successive(*measured, correction="it says three").check().holds == holds
        assert successive(*measured).check().holds


def test_a_printed_form_that_is_not_finite_is_null_in_json() -> None:
    verdict = successive(*[Measured(0.0, printed=float("inf"))] * INSTANCES, correction="it says three").check()
    assert command.as_object(verdict)["printed"] is None
    assert verdict.holds


@pytest.fixture(scope="module")
def verdicts() -> dict[Claim, Verdict]:
    """What each claim says in this process."""
    return {claim: claim.check() for claim in CLAIMS}


def test_the_text_fits_100_columns_and_names_every_misprint_and_its_size(verdicts, monkeypatch, capsys) -> None:
    monkeypatch.setattr(Claim, "check", lambda claim: verdicts[claim])
    assert command.main([]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    flat = re.sub(r"\s+", " ", text)
    for claim in CLAIMS:
        assert claim.words in flat
        assert claim.correction is None or f"Misprint or slip: {claim.correction}. As printed it is off by " in flat
    assert len(set(re.findall(r"^\S.*?(?=residual)", text, re.MULTILINE))) > 60
    assert len({line.index("residual") for line in text.splitlines() if "   residual " in line}) == 1


# The command, as a person runs it.


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m reference` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "reference", *arguments], cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
    )


def test_json_is_a_list_of_all_claims_which_all_hold_and_repeat_to_the_bit(verdicts: dict[Claim, Verdict]) -> None:
    done = run("--json")
    assert (done.returncode, done.stderr) == (0, "")
    objects = json.loads(done.stdout)
    assert objects == [command.as_object(verdicts[claim]) for claim in CLAIMS]
    for actual in objects:
        assert list(actual) == KEYS
        assert actual["holds"] is True
        assert 0 <= actual["residual"] <= actual["tolerance"]
        assert actual["printed"] is None if actual["correction"] is None else actual["printed"] > MISPRINT


def test_only_picks_one_and_measures_the_same_as_among_all(verdicts: dict[Claim, Verdict]) -> None:
    done = run("--only", "Theorem 3", "--json")
    assert done.returncode == 0
    (actual,) = json.loads(done.stdout)
    (theorem,) = (claim for claim in CLAIMS if claim.number == "Theorem 3")
    assert actual == command.as_object(verdicts[theorem])


def test_text_ends_in_a_summary() -> None:
    done = run("--only", "C.10")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("C.10-C.12   residual ")
    assert done.stdout.splitlines()[-1] == "1 checked: 1 hold, 0 do not."


@pytest.mark.parametrize("arguments", [("--only", "Theorem 30"), ("--only",), ("--colour",), ("3.1",)])
def test_bad_arguments_are_one_line_and_status_2(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
