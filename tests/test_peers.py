"""What the pages say of other libraries is what the committed measurements say."""

import json
from pathlib import Path

from benchmarks.peers.table import RESULTS, short, table

ROOT = Path(__file__).parent.parent
MEASURED = json.loads(RESULTS.read_text(encoding="utf-8"))


def test_the_tables_are_those_of_the_measurements():
    for page, lines in (("benchmarks/peers/README.md", table(MEASURED)), ("README.md", short(MEASURED))):
        assert lines in (ROOT / page).read_text(encoding="utf-8"), page


def test_the_front_page_shows_each_library_as_it_comes_and_at_its_best():
    lines = short(MEASURED).splitlines()
    for library in {row["library"] for row in MEASURED}:
        rows = [row for row in MEASURED if row["library"] == library]
        shown = [line.split(" | ") for line in lines if line.startswith(f"| {library} ")]
        assert shown[0][1] == rows[0]["setting"]
        assert shown[-1][2] == f"{max(row['passed'] for row in rows)} of 16"
        assert len(shown) <= 2, library


def test_every_measurement_is_whole():
    assert len({row["library"] for row in MEASURED}) >= 5
    for row in MEASURED:
        assert row["problems"] == len(row["results"])
        assert row["passed"] == sum(one["passes"] for one in row["results"])
        assert (row["cause"] is None) == (row["passed"] == row["problems"])
        for one in row["results"]:
            assert one["passes"] == (one["error"] is not None and one["error"] <= one["tolerance"])


def test_a_changed_number_would_be_noticed():
    changed = [MEASURED[0] | {"passed": 0}, *MEASURED[1:]]
    assert table(changed) not in (ROOT / "benchmarks/peers/README.md").read_text(encoding="utf-8")
