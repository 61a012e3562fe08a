"""The record of a run: a folder with `settings.json` and `history.csv` that a person can open.

A run is finished if and only if `history.csv` is there: rows go to `history.csv.*.part`, which takes its final name
last of all. A run that was killed, or met a full disk, therefore never looks like a finished one.

name        content
settings    what was asked: two runs with equal settings are the same run
facts       what else is worth knowing: command, versions, exact answers, outcome
history     one row for each kept step; columns that hold times have names that end in `seconds`
"""

import csv
import json
import os
import platform
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np

from reference.console.command import UserError, command_line
from reference.console.tables import read_table

SETTINGS, HISTORY = "settings.json", "history.csv"


class History(dict[str, np.ndarray]):
    """Columns by name; UserError where a person has taken one away."""

    def __init__(self, folder: Path, columns: Mapping[str, np.ndarray]) -> None:
        super().__init__(columns)
        self.folder = folder

    def __missing__(self, name: str) -> np.ndarray:
        raise UserError(f"{self.folder / HISTORY} has no column {name!r}; delete the folder and run again")


@dataclass(frozen=True)
class Record:
    """A finished run; `history` maps each column to its values, text columns left as text."""

    folder: Path
    settings: dict[str, Any]
    facts: dict[str, Any]
    history: dict[str, np.ndarray]


class Writer:
    """Writes a run row by row; leaving its `with` block without an error finishes the run.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "run"
        >>> with Writer(folder, {"seed": 0}) as writer:
        ...     writer.row({"update": 0, "lam": 1.5})
        ...     is_finished(folder, {"seed": 0})
        False
        >>> is_finished(folder, {"seed": 0}), read(folder).history["lam"]
        (True, array([1.5]))
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder, self.settings, self.facts = folder, dict(settings), dict[str, Any]()
        self._columns: list[str] = []
        # A name of its own: two commands that write one record at a time must not write into one file.
        self._parts = {name: folder / f"{name}.{secrets.token_hex(4)}.part" for name in (SETTINGS, HISTORY)}

    def __enter__(self) -> "Writer":
        self.folder.mkdir(parents=True, exist_ok=True)
        discard_parts(self.folder)
        self._file = self._parts[HISTORY].open("w", newline="", encoding="utf-8")
        self._csv = csv.writer(self._file, lineterminator="\n")
        return self

    def header(self, columns: Iterable[str]) -> None:
        """Name the columns; needed only where no row may follow."""
        self._columns = list(columns)
        self._csv.writerow(self._columns)

    def row(self, values: Mapping[str, Any]) -> None:
        """Append one kept step; the first row names the columns, unless `header` has."""
        if not self._columns:
            self.header(values)
        self._csv.writerow([values[column] for column in self._columns])

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        try:
            with self._file:
                _to_disk(self._file)
            if kind is None:
                self._finish()
        finally:
            for part in self._parts.values():
                part.unlink(missing_ok=True)

    def _finish(self) -> None:
        text = json.dumps({"settings": self.settings, **self.facts}, indent=2, ensure_ascii=False, allow_nan=False)
        # Names of files that are not text come as lone surrogates, which are valid in JSON only when escaped.
        with self._parts[SETTINGS].open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text + "\n")
            _to_disk(file)
        if not self._parts[HISTORY].exists():
            raise UserError(f"{self.folder}: another command writes this record too; let one of them finish, run again")
        (self.folder / HISTORY).unlink(missing_ok=True)
        os.replace(self._parts[SETTINGS], self.folder / SETTINGS)
        os.replace(self._parts[HISTORY], self.folder / HISTORY)


def provenance(*packages: str) -> dict[str, Any]:
    """How a record came about: the command, and the versions of Python and of packages."""
    versions = {name: _version(name) for name in packages}
    return {"command": command_line(), "versions": {"python": platform.python_version(), **versions}}


_version = cache(version)
"""Looked up once: each time a package's metadata are read and parsed."""


def discard_parts(folder: Path) -> None:
    """Remove what a killed writer has left in a run's folder."""
    for part in folder.glob("*.part"):
        part.unlink(missing_ok=True)


def is_finished(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether `folder` holds the finished record of a run with exactly these settings."""
    if not (folder / HISTORY).is_file():
        return False
    return _read_settings(folder)["settings"] == json.loads(json.dumps(dict(settings)))


def read(folder: Path) -> Record:
    """Read a finished record.

    Raises:
        UserError: the folder holds none, or its files were damaged.
    """
    facts = _read_settings(folder)
    try:
        table = read_table(folder / HISTORY, header=True)
    except UserError as error:
        raise UserError(f"{error}; or delete the folder and run again") from None
    for line, row in zip(table.lines, table.rows, strict=True):
        if "" in row:
            problem = f"an empty cell in line {line}, column {table.names[row.index('')]!r}"
            raise UserError(f"{folder / HISTORY}: {problem}; delete the folder and run again")
    columns = zip(*table.rows, strict=True) if table.rows else ((),) * len(table.names)
    history = {name: _column(values) for name, values in zip(table.names, columns, strict=True)}
    return Record(folder, facts.pop("settings"), facts, History(folder, history))


def find(root: Path) -> Iterator[Record]:
    """All finished records below `root`, in the order of their folders' names."""
    for history in sorted(root.rglob(HISTORY)):
        yield read(history.parent)


def _read_settings(folder: Path) -> dict[str, Any]:
    try:
        facts = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        facts["settings"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{folder / SETTINGS} cannot be read ({error}); delete the folder and run again") from None
    return facts


def _column(values: tuple[str, ...]) -> np.ndarray:
    try:
        return np.array(values, dtype=float)
    except ValueError:
        return np.array(values)


def _to_disk(file: TextIO) -> None:
    # A full disk may only show here, before anything has taken its final name.
    file.flush()
    os.fsync(file.fileno())
