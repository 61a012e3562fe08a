"""`python -m reference yardstick`: what it prints, and its exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reference.beyond.yardstick.cli import imported, main
from reference.console.command import UserError

pytestmark = pytest.mark.usefixtures("no_types_checked")

ROOT = Path(__file__).parents[4]

MODULE = """
def right(problem, lam):
    return problem.hypergradient(lam)

def wrong(problem, lam):
    return -problem.hypergradient(lam)

def three(a, b, c):
    return a

number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "held_to_it.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import no_such_module_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "held_to_it"


def test_the_status_is_0_where_all_pass_and_1_where_one_fails(module: str, capsys: pytest.CaptureFixture[str]):
    assert main([f"{module}:right"]) == 0
    assert capsys.readouterr().out.endswith("16 problems: all pass.\n")
    assert main([f"{module}:wrong"]) == 1
    assert "Likeliest cause: the sign is wrong" in capsys.readouterr().out


def test_json_is_one_object(module: str, capsys: pytest.CaptureFixture[str]):
    assert main([f"{module}:wrong", "--json"]) == 1
    page = json.loads(capsys.readouterr().out)
    assert (page["function"], page["passed"], page["cause"]) == (f"{module}:wrong", 0, "the sign is wrong")


@pytest.mark.parametrize(
    "name", ["right", ":right", "{}", "{}:", "{}:nothing", "nowhere:right", "broken:right", "{}:number", "{}:three"]
)
def test_what_is_no_function_of_two_is_refused(name: str, module: str):
    with pytest.raises(UserError):
        imported(name.format(module))


def test_as_a_person_runs_it(module: str, tmp_path: Path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "reference", "yardstick"]
    for name, status in ((f"{module}:right", 0), (f"{module}:nothing", 2)):
        done = subprocess.run([*command, name], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        assert len(done.stderr.splitlines()) == (status == 2)
