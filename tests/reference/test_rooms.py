"""Imports run one way: a room stands on those listed for it, and nothing of the paper on what goes beyond it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOUNDATIONS = {
    "numerics": set(),
    "bilevel": {"numerics"},
    "problems": {"numerics", "bilevel"},
    "rule": {"bilevel"},
    "claims": {"bilevel", "problems", "rule"},
    "beyond": {"numerics", "bilevel", "problems", "rule", "claims", "console"},
    "console": {"claims", "beyond"},
}
"""Room of reference/ -> the others that it may import."""


def imported(file: Path) -> Iterator[str]:
    """The dotted names that a module imports, at its top or in a function."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("room", FOUNDATIONS)
def test_a_room_imports_only_what_it_stands_on(room: str) -> None:
    files = list((ROOT / "reference" / room).rglob("*.py"))
    rooms = {name.split(".")[1] for file in files for name in imported(file) if name.startswith("reference.")}
    assert files
    assert rooms - {room} <= FOUNDATIONS[room]


def test_every_folder_is_a_room() -> None:
    folders = {path.name for path in (ROOT / "reference").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == FOUNDATIONS.keys()
