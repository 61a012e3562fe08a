"""How tables are written: pages in Markdown, and the numbers unrounded as CSV."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any


def markdown(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table; a bar in a cell is the caller's to escape.

    Example:
        >>> print(markdown(("a", "b"), [("1", "2")]), end="")
        | a | b |
        | --- | --- |
        | 1 | 2 |
    """
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, ["---"] * len(header), *body))


def comma_separated(kind: Any, rows: Iterable[Any]) -> bytes:
    """A line for each instance of a dataclass."""
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, [field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return table.getvalue().encode()
