"""What the page says of other libraries is what the committed measurements say."""

import json
from pathlib import Path

from benchmarks.peers.table import RESULTS, table

ROOT = Path(__file__).parent.parent
MEASURED = json.loads(RESULTS.read_text(encoding="utf-8"))


def test_the_table_is_that_of_the_measurements():
    assert table(MEASURED) in (ROOT / "benchmarks/peers/README.md").read_text(encoding="utf-8")


def test_every_measurement_is_whole():
    assert len({row["library"] for row in MEASURED}) >= 5
    for row in MEASURED:
        assert row["problems"] == len(row["results"])
        assert row["passed"] == sum(item["passes"] for item in row["results"])
        assert (row["cause"] is None) == (row["passed"] == row["problems"])
        for item in row["results"]:
            assert item["passes"] == (item["error"] is not None and item["error"] <= item["tolerance"])


def test_a_changed_number_would_be_noticed():
    changed = [MEASURED[0] | {"passed": 0}, *MEASURED[1:]]
    assert table(changed) not in (ROOT / "benchmarks/peers/README.md").read_text(encoding="utf-8")
