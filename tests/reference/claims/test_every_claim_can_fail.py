"""Every claim can fail: a fault in the code that it speaks of takes its residual above its tolerance."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reference.console.check import CLAIMS
from tests.reference.claims.faults import FAULTS
from tests.reference.claims.planting import Fault, planted

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def outcomes() -> dict[Fault, dict[str, Any]]:
    """What each fault's claim says while it is planted."""
    command = [sys.executable, "-m", "tests.reference.claims.planting"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return dict(zip(FAULTS, json.loads(printed), strict=True))


def test_every_claim_has_a_fault_of_its_own() -> None:
    assert {fault.known for fault in FAULTS} == set(CLAIMS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.claim}-{fault.module}")
def test_a_claim_fails_where_its_fault_is_planted(fault: Fault, outcomes: dict[Fault, dict[str, Any]]) -> None:
    assert "error" not in outcomes[fault], outcomes[fault]
    assert outcomes[fault]["fails"], outcomes[fault]


@pytest.mark.parametrize(
    ("text", "message"),
    [("np.no_such_function", "stands 0 times"), ("self.f.vjp(", "stands 2 times"), ("(-15.0, 15.0)", "in no function")],
)
def test_a_text_that_is_not_a_place_within_a_function_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message), planted(Fault("eqn_2_3", "bilevel.problem", text, "(0.0, 1.0)")):
        pass
