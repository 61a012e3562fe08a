"""The yardstick passes what is right and names what is wrong: every planted mistake, and nothing that is none."""

import ast
import json
import math
import re
import warnings
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from reference.beyond import yardstick
from reference.beyond.yardstick import Report, measure
from reference.beyond.yardstick.cases import BUILDERS
from reference.beyond.yardstick.cause import KINDS
from reference.beyond.yardstick.diagnosis.diagnose import STOPPED
from reference.beyond.yardstick.predictions.known import known
from reference.beyond.yardstick.predictions.solvers import CG
from tests.reference.beyond.yardstick.planted import PLANTED, RIGHT, cg, smoothed, with_solver
from tests.reference.beyond.yardstick.resting import learned_from_perturbations, learned_jointly

BIASED = {
    "σ = 0.5": (
        learned_from_perturbations,
        "ridge dropout penalties rates rank-deficient float32 ill-1e4 ill-1e8 softmax",
    ),
    "σ = 0.5, jointly": (learned_jointly, "ridge dropout penalties rates float32 ill-1e4 ill-1e8 softmax"),
    "smoothed": (smoothed, "ridge dropout saturating rank-deficient float32 softmax"),
}
"""Methods, and the problems on which they are biased."""

pytestmark = pytest.mark.usefixtures("no_types_checked")


@cache
def report_of(name: str) -> Report:
    return measure(PLANTED[name][0])


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_hypergradient_passes_every_problem_however_it_is_found(name: str):
    report = measure(RIGHT[name])
    assert report.passes, report.text()
    assert report.cause is None


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_mistake_is_named(name: str):
    _, kind, words = PLANTED[name]
    report = report_of(name)
    assert not report.passes
    cause = report.cause
    assert cause is not None
    assert (cause.kind, str(cause)) == (kind, words), report.text()
    assert kind in KINDS


@pytest.mark.parametrize(
    "name", [name for name, (_, kind, _) in PLANTED.items() if kind not in ("shape", "early stop")]
)
def test_every_failure_of_one_mistake_has_that_cause(name: str):
    words = PLANTED[name][2]
    actual = {str(result.cause).removesuffix(", which diverges") for result in report_of(name).failures}
    assert actual == {words.removesuffix(", which diverges")}


@pytest.mark.parametrize("sigma", [0.3, 1.0])
@pytest.mark.parametrize("method", BIASED)
def test_a_bias_of_sigma_is_named_with_any_sigma_on_every_problem_that_has_it(method: str, sigma: float):
    function, names = BIASED[method]
    failures = {result.name: str(result.cause) for result in measure(function(sigma)).failures}
    words = PLANTED[method][2].rpartition(": ")[0]
    assert failures == dict.fromkeys(names.split(), f"{words}: σ = {sigma:g}")


def written() -> Iterator[str]:
    """Patterns of the words of every cause that is written out somewhere in the package."""
    package = Path(yardstick.__path__[0])
    for path in package.rglob("*.py"):
        module = ".".join(path.relative_to(package).with_suffix("").parts)
        constants = vars(import_module(f"reference.beyond.yardstick.{module}")) if path.stem != "__init__" else {}
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="Cause"), args=[_, ast.Constant(value=str(words)), *_]):
                    yield re.escape(words)
                case ast.Call(func=ast.Name(id="Cause"), args=[_, ast.JoinedStr(values=values), *_]):
                    yield "".join(re.escape(str(v.value)) if isinstance(v, ast.Constant) else ".+" for v in values)
                case ast.Call(func=ast.Name(id="Cause"), args=[_, ast.Name(id=name), *_]) if name in constants:
                    yield re.escape(constants[name])


def computed() -> set[str]:
    """Words of every cause that is predicted on some problem, loops over factors and places run."""
    everywhere = [known(name) for name in BUILDERS]
    return {re.escape(cause.words) for item in everywhere for cause in [*item.wrong, *item.fitted]}


def test_every_cause_that_can_be_named_is_planted():
    planted = [words for _, _, words in PLANTED.values()]
    patterns = computed() | set(written())
    assert [
        pattern for pattern in patterns if not any(re.fullmatch(f"{pattern}(: .*)?", words) for words in planted)
    ] == []
    assert {kind for _, kind, _ in PLANTED.values()} == set(KINDS)


def test_conjugate_gradient_whose_iterates_are_rounding_errors_is_still_an_early_stop():
    # From some fifteen steps on the order of additions, and so the processor, decides where it is at condition 1e8.
    cause = measure(with_solver(cg(20))).cause
    assert cause is not None
    assert cause.kind == "early stop"
    assert cause.words in (CG.words, STOPPED.words)


def test_two_mistakes_on_different_problems_are_both_named():
    def function(problem, lam):
        g = problem.hypergradient(lam)
        return -g if hasattr(problem, "t") else 2 * g

    causes = {result.name: str(result.cause) for result in measure(function).failures}
    assert causes["quadratic"] == causes["flat"] == "too large by a factor 2"
    assert causes["ridge"] == causes["ill-1e8"] == "the sign is wrong"


def test_an_answer_that_fits_nothing_is_not_explained():
    assert {str(result.cause) for result in report_of("fits nothing").results} == {"none of the known causes"}


def test_one_failure_among_passes_is_no_sign_error_of_all():
    # A wrong sign would show everywhere, so the passes speak against it; the failing problem has one number only.
    def function(problem, lam):
        g = problem.hypergradient(lam)
        return -g if problem.__class__.__name__ == "InputDropout" else g

    assert str(measure(function).cause) != "the sign is wrong"


def test_the_numbers_are_those_of_the_definitions():
    report = measure(lambda problem, lam: problem.hypergradient(lam) * np.where(np.arange(len(lam)) == 0, -1.0, 1.0))
    for result in report.results:
        assert result.signs == pytest.approx(
            1
            - 1
            / {"square": 6, "wide": 20, "penalties": 8, "rates": 8, "class-weights": 5}.get(
                result.name, 3 if result.name in ("quadratic", "direct", "flat", "ill-1e4", "ill-1e8") else 1
            )
        )
        # ‖ĝ - g‖² = ‖ĝ‖² + ‖g‖² - 2ĝᵀg, and here the norms are equal; float32 to single precision
        assert result.error**2 == pytest.approx(2 - 2 * result.cosine, rel=1e-4)


def test_json_holds_numbers_or_null():
    for name in ("NaN", "sign"):
        page = json.loads(json.dumps(report_of(name).as_object(), allow_nan=False))
        assert page["passed"] == 0
        assert page["problems"] == len(page["results"])
        assert not page["passes"]
        assert (page["worst_error"] is None) == (name == "NaN")
    assert math.isclose(page["worst_error"], 2.0, rel_tol=1e-5)


def test_output_of_the_function_is_kept_out_of_ours(capsys: pytest.CaptureFixture[str]):
    def function(problem, lam):
        print("chatter")
        return problem.hypergradient(lam)

    assert measure(function).passes
    out, err = capsys.readouterr()
    assert out == ""
    assert "chatter" in err


def test_what_a_module_sets_for_its_own_arithmetic_is_not_the_yardsticks():
    """Neither np.seterr(all="raise") before, as in a module's first line, nor settings that a call leaves behind."""

    def careless(problem, lam):
        assert np.geterr()["under"] == "raise"
        np.seterr(all="ignore")
        warnings.simplefilter("error")
        return -problem.hypergradient(lam)

    with np.errstate(all="raise"), warnings.catch_warnings():
        filters = list(warnings.filters)
        assert str(measure(careless).cause) == "the sign is wrong"
        assert np.geterr()["under"] == "raise"
        assert warnings.filters == filters
