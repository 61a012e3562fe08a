"""Tables and texts in files that a person may have touched: one reader for data, schedules and records.

A byte order mark, and blanks around cells, are no part of what is read. Whatever is wrong is a UserError that names the
file.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from reference.console.command import UserError


@dataclass(frozen=True)
class Table:
    """A table as text: in every row a cell for each name, and the line of the file that each row came from."""

    where: str
    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]


def read_table(path: Path, header: bool) -> Table:
    """The cells of a text file, unzipped where its name ends in .gz; blank lines are skipped.

    Args:
        path: The file.
        header: True for cells parted by commas under a line of names; False for cells parted by white space
            and no such line: their names are then x0, x1, ... by place.

    Raises:
        UserError: The file is missing, a folder, damaged, empty or ragged, or its header names no columns.
    """
    records = _records(path, header)
    if not records:
        raise UserError(f"{path} is empty: give a file with a line for each example")
    first, cells = records[0]
    names = _column_names(f"{path}, line {first}", cells) if header else [f"x{j}" for j in range(len(cells))]
    for line, row in records:
        if len(row) != len(names):
            problem = f"{len(row)} columns where line {first} has {len(names)}"
            raise UserError(f"{path}, line {line}: {problem}; mend or remove the line")
    body = records[1:] if header else records
    return Table(str(path), tuple(names), [row for _, row in body], [line for line, _ in body])


def listing(names: Sequence[str]) -> str:
    """The first twenty names in one line."""
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def as_number(cell: str) -> float | None:
    """A cell as a number, None where it is text."""
    try:
        return None if "_" in cell else float(cell)  # 1_000 is a number to Python alone
    except ValueError:
        return None


def _column_names(place: str, cells: list[str]) -> list[str]:
    if None not in [as_number(name) for name in cells]:
        raise UserError(f"{place}: numbers where the columns' names must be; add a header line")
    if "" in cells:
        raise UserError(f"{place}: column {cells.index('') + 1} has no name; name or remove it")
    names = [" ".join(name.split()) for name in cells]
    if len(set(names)) < len(names):
        twice = listing(sorted({name for name in names if names.count(name) > 1}))
        raise UserError(f"{place}: more than one column is named {twice}; rename or remove one")
    return names


def _records(path: Path, header: bool) -> list[tuple[int, list[str]]]:
    text = read_text(path)
    lines = io.StringIO(text, newline="")
    if not header:
        return [(line, cells) for line, row in enumerate(lines, 1) if (cells := row.split())]
    _require_commas(path, text)
    reader = csv.reader(lines, skipinitialspace=True, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}; mend the line's quotes") from None
    return [(line, row) for line, row in rows if row not in ([], [""])]


def _require_commas(path: Path, text: str) -> None:
    """UserError where another mark parts the first two lines alike, and into more cells than commas do."""
    numbered = enumerate(io.StringIO(text, newline=""), 1)
    lines = list(islice(((line, row) for line, row in numbered if row.strip()), 2))
    for mark in ";\t":
        counts = {_count(row, mark) for _, row in lines}
        if len(counts) == 1 and _count(lines[0][1], ",") < max(counts):
            raise UserError(f"{path}, line {lines[0][0]}: columns parted by ';' or tabs; part them by commas")


def _count(row: str, mark: str) -> int:
    """How many cells a mark parts a line into; 0 where quotes forbid it."""
    try:
        return len(next(csv.reader([row], delimiter=mark, skipinitialspace=True, strict=True)))
    except csv.Error:
        return 0


def read_text(path: Path) -> str:
    """The text of a file, unzipped where its name ends in .gz, without a byte order mark.

    Raises:
        UserError: the file is missing, a folder, damaged, or not UTF-8.
    """
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix.lower() == ".gz" else raw).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"there is no file {path}: check the name") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: give a file") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise UserError(f"{path} is no gzip file, or a damaged one: copy it again, or unzip it") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text in UTF-8: save it so; a gzip file's name must end in .gz") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check who may read it") from None
