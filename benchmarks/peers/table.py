"""The table of README.md and of the front page, made of results.json: `python -m benchmarks.peers.table`."""

import json
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).with_name("results.json")


def table(results: list[dict[str, Any]]) -> str:
    """Library, setting, problems passed, worst and median relative error, median seconds of a call, cause."""
    head = "| library | setting | passed | worst error | median error | seconds | likeliest cause |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *map(_row, results)])


def short(results: list[dict[str, Any]]) -> str:
    """For the front page: of each library its first setting, and the first of those that pass most."""
    libraries = dict.fromkeys(row["library"] for row in results)
    lines = [
        f"| {row['library']} {row['version']} | {row['setting']} | {_passed(row)} | {row['cause'] or 'none'} |"
        for library in libraries
        for row in _first_and_best([row for row in results if row["library"] == library])
    ]
    return "\n".join(["| library | setting | passed | likeliest cause |", "|---|---|---|---|", *lines])


def _first_and_best(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    best = max(rows, key=lambda row: row["passed"])
    return rows[:1] if best is rows[0] else [rows[0], best]


def _row(row: dict[str, Any]) -> str:
    errors = sorted(float("inf") if one["error"] is None else one["error"] for one in row["results"])
    worst, middle = _number(errors[-1]), _number(median(errors))
    seconds = median(one["seconds"] for one in row["results"])
    name = f"{row['library']} {row['version']} ({row['on']})"
    cells = (name, row["setting"], _passed(row), worst, middle, f"{seconds:.2f}", row["cause"] or "none")
    return f"| {' | '.join(cells)} |"


def _passed(row: dict[str, Any]) -> str:
    return f"{row['passed']} of {row['problems']}"


def _number(value: float) -> str:
    return "none given" if value == float("inf") else f"{value:.1e}"


if __name__ == "__main__":
    results = json.loads(RESULTS.read_text())
    print(table(results), short(results), sep="\n\n")
