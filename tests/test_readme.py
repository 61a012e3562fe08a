"""The pages say what is there: names in the map exist, and tables of results are what the records give."""

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from figures.console import cli
from figures.reading import archive, splits
from reference.console.check import CLAIMS
from reference.console.places import numbers
from toy.beyond import laboratory

ROOT = Path(__file__).parent.parent
FOLDERS = ("reference", "toy", "deep", "figures", "benchmarks")
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")


def page(path: str) -> str:
    """Return the text of a page."""
    return (ROOT / path).read_text(encoding="utf-8")


def table_lines(text: str) -> list[str]:
    """Lines of tables."""
    return [line for line in text.splitlines() if line.startswith("|")]


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table, without its header and rule."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table_lines(text)[2:]]


MAP = rows(page("reference/EQUATIONS.md").split("\n## ")[0])


def attribute(name: str) -> object:
    """What a dotted name stands for; AttributeError or ImportError where it stands for nothing."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            actual: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            actual = getattr(actual, part)
        return actual
    raise ImportError(name)


@pytest.mark.parametrize("name", sorted({name for row in MAP for name in re.findall(r"`([^`]+)`", row[1])}))
def test_every_function_of_the_map_exists(name: str) -> None:
    assert attribute(name) is not None


@pytest.mark.parametrize("name", sorted({name for row in MAP for name in re.findall(r"`([^`]+)`", row[2])}))
def test_every_test_of_the_map_exists(name: str) -> None:
    file, function = name.split("::")
    assert f"\ndef {function}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")


def named_by(row: list[str]) -> set[str]:
    """Return the numbers that the targets of a row of the map name: docstrings, tests' names, and claims."""
    named = set[str]()
    for name in re.findall(r"`([^`]+)`", row[1]):
        target = attribute(name)
        named |= numbers((getattr(target, "__doc__", None) or "").split("\n\n")[0])
        module = name if inspect.ismodule(target) else getattr(target, "__module__", "")
        named |= {label for claim in CLAIMS if claim.residual.__module__ == module for label in claim.labels()}
    for name in re.findall(r"`([^`]+)`", row[2]):
        file, function = name.split("::")
        body = (ROOT / "tests" / file).read_text(encoding="utf-8").split(f"\ndef {function}(")[1].split("\ndef ")[0]
        named |= numbers(" ".join(re.findall(r'"""(.*)', body)))
        named |= {f"{part.upper()}.{k}" for part, k in re.findall(r"(?<=_)([a-h]|\d)_(\d+)(?=_|$)", function)}
        named |= {f"{kind.capitalize()} {k}" for kind, k in re.findall(r"(theorem|lemma|observation)_(\d)", function)}
    return named


@pytest.mark.parametrize("row", [row for row in MAP if "beyond" not in row[0]], ids=lambda row: row[0])
def test_a_row_of_the_map_leads_to_targets_that_name_its_numbers(row: list[str]) -> None:
    assert numbers(f"Eqns. {row[0]}") <= named_by(row)


def test_the_table_of_misprints_names_the_claims_that_measure_one() -> None:
    misprints = rows(page("reference/ERRATA.md"))
    named = {cell for row in misprints for cell in re.findall(r"`([^`]+)`", row[-1])}
    assert named == {claim.number for claim in CLAIMS if claim.correction}


def test_the_front_page_counts_what_there_is() -> None:
    front, results = page("README.md"), page("toy/RESULTS.md")
    assert f"`python -m reference` checks {len(CLAIMS)} claims" in front
    assert f"[{len(rows(page('reference/ERRATA.md')))} misprints]" in front
    assert "STN diverges in 79 of 80 splits, Δ-STN in 0" in front
    assert "STN diverges in 79 of 80 splits, Centered STN in 11 and Δ-STN in 0" in results
    assert len(front.encode()) <= 12_000
    assert front.count("\n") <= 150


def test_a_name_that_stands_for_nothing_is_noticed() -> None:
    with pytest.raises((AttributeError, ImportError)):
        attribute("reference.rule.updates.no_such_function")


def test_relative_links_lead_somewhere() -> None:
    pages = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md")]
    for path in (ROOT / "README.md", *pages):
        for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", path.read_text(encoding="utf-8")):
            place = path.parent / target if target else path
            assert place.exists(), f"{path} links to {target}"
            assert not anchor or anchor in anchors(place), f"{path} links to {target}#{anchor}"


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_main_job_gives_the_results_shown(tmp_path: Path) -> None:
    """Of both tables, rounded to two figures there, within 5 %; pictures have tests of their own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "figures", "table", "tableb1", "tableb2"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pictures = tmp_path / "out" / "figures"
    results, control_variate = page("toy/RESULTS.md").split("\n## The control variate\n")
    shown = [*table_lines(results.split("\n## ")[0]), *table_lines(control_variate)]
    written = [(pictures / f"{name}.md").read_text(encoding="utf-8") for name in ("toy", "tableb1", "tableb2")]
    fresh = [line for text in written for line in table_lines(text)]
    assert len(shown) == len(fresh) > 60
    for ours, theirs in zip(sorted(shown), sorted(fresh), strict=True):
        assert NUMBER.sub("#", ours) == NUMBER.sub("#", theirs)
        numbers = [[float(number) for number in NUMBER.findall(line)] for line in (ours, theirs)]
        np.testing.assert_allclose(*numbers, rtol=0.05, atol=0.011)


def test_the_stability_that_is_told_is_that_of_the_committed_records() -> None:
    records = splits.of_problem(archive.gather("splits", ROOT / "none"), "linear-network-undivided")
    sets = [record for record in records if splits.data(record) in ("concrete", "abalone")]
    lost = {
        name: np.concatenate([splits.diverged(record, name, 0.002) for record in sets])
        for name in ("STN", "Centered STN", "Δ-STN")
    }
    stn, centred, delta = (runs.sum() for runs in lost.values())
    told = f"STN diverges in {stn} of 80 splits, Centered STN in {centred} and Δ-STN in {delta}"
    p = splits.fisher(lost["Centered STN"], lost["Δ-STN"])
    differing = int(np.sum(lost["Centered STN"] != lost["Δ-STN"]))
    sign = binomtest(int(np.sum(lost["Centered STN"] & ~lost["Δ-STN"])), differing).pvalue
    words = " ".join(page("toy/RESULTS.md").split())
    assert told in words
    assert f"a sign test of the {differing} that differ gives {sign:.2g}" in words
    assert f"Of these 80 alone Fisher's p is {p:.2g}" in words
    assert p < 0.001


def test_the_committed_laboratory_is_that_of_the_present_settings() -> None:
    assert list(laboratory.pending("full", laboratory.FULL, range(1), archive.COMMITTED)) == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("toy/RESULTS.md", "splits"),
        ("deep/paper/RESULTS.md", "table01"),
        ("deep/paper/RESULTS.md", "table03"),
        ("deep/paper/RESULTS.md", "table04"),
        ("deep/paper/RESULTS.md", "tableb6"),
        ("benchmarks/README.md", "tableb5"),
        ("toy/beyond/LABORATORY.md", "tableb4"),
    ],
)
def test_tables_are_those_of_the_committed_records(path: str, name: str, tmp_path: Path) -> None:
    shown = page(path).splitlines()
    records = cli.ALL[name].shown(cli.gathered([name], tmp_path)[name])
    text = cli.files(name, records, "png")[f"{name}.md"].decode()
    lines = [line for line in text.splitlines() if line.startswith(("|", "-"))]
    assert len(lines) > 4
    for line in lines:
        assert line in shown
