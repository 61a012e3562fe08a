"""Each equation that a reader looks up is found in one step, in the code or as a claim, with file and line."""

import re
from pathlib import Path

import pytest

from reference.console.check import CLAIMS, main
from reference.console.places import ROOT, place_of, places

LOOKED_UP = ["2.3", "2.5", "2.7", "3.1", "3.8", "3.10", "3.13", "3.14", "C.25", "D.9", "G.7", "H.4", "E.1", "F.1"]


@pytest.mark.parametrize("number", LOOKED_UP)
def test_a_number_is_found_in_one_step(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", number]) == 0
    where = re.findall(r"([\w/]+\.py):(\d+)", capsys.readouterr().out)
    assert where
    for path, line in where:
        assert Path(ROOT / path).read_text(encoding="utf-8").count("\n") >= int(line)


@pytest.mark.parametrize("number", sorted({label for claim in CLAIMS for label in claim.labels()}))
def test_a_definition_that_is_listed_stands_at_its_line_and_names_the_number(number: str) -> None:
    for place in places(number):
        lines = (ROOT / place.path).read_text(encoding="utf-8").splitlines()
        if place.name:
            assert re.search(rf"(def|class) {place.name.rpartition('.')[2]}\b", lines[place.line - 1])
        first = next(line for line in lines[place.line - 1 :] if '"""' in line)
        assert place.words.split(" ")[0] in first


def test_a_claims_place_is_that_of_its_function() -> None:
    for claim in CLAIMS:
        path, line = place_of(claim.residual).split(":")
        nearby = (ROOT / path).read_text(encoding="utf-8").splitlines()[int(line) - 1 : int(line) + 40]
        assert any(f'"{claim.number}"' in text for text in nearby)
