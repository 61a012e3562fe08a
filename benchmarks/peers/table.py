"""The table of README.md, made of results.json: `python -m benchmarks.peers.table`."""

import json
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).with_name("results.json")


def table(results: list[dict[str, Any]]) -> str:
    """Library, setting, problems passed, worst and median relative error, median seconds of a call, cause."""
    head = "| library | setting | passed | worst error | median error | seconds | likeliest cause |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *map(_row, results)])


def _row(row: dict[str, Any]) -> str:
    errors = sorted(float("inf") if result["error"] is None else result["error"] for result in row["results"])
    worst, middle = _number(errors[-1]), _number(median(errors))
    seconds = median(result["seconds"] for result in row["results"])
    name = f"{row['library']} {row['version']} ({row['on']})"
    cells = (name, row["setting"], _passed(row), worst, middle, f"{seconds:.2f}", row["cause"] or "none")
    return f"| {' | '.join(cells)} |"


def _passed(row: dict[str, Any]) -> str:
    return f"{row['passed']} of {row['problems']}"


def _number(value: float) -> str:
    return "none given" if value == float("inf") else f"{value:.1e}"


if __name__ == "__main__":
    print(table(json.loads(RESULTS.read_text())))
