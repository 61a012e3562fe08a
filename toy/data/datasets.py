"""Regression data by name or from a person's own CSV, checked before anything is computed from it.

| name       | symbol | shape  |                                     |
|------------|--------|--------|-------------------------------------|
| `X`        | X      | (n, m) | features, as measured (not scaled)  |
| `t`        | t      | (n,)   | target                              |
| `features` |        | m      | the names of X's columns            |

Three sets need no network: diabetes comes with scikit-learn, concrete and abalone with this project
(`toy/data/NOTICE.md`). The other UCI sets are read from a folder that a person has, or downloaded from OpenML.
Abalone's text column `sex` (M, F or I for infant) becomes three indicators, sex_M, sex_F and sex_I, which sum to one:
they are exactly dependent by design, so that a penalty treats the three alike.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.datasets import fetch_openml, load_diabetes

from reference.console.command import UserError
from reference.console.tables import Table, listing, read_table
from toy.data.tables import check_numbers, numbers, usable_features, warn_of_dependence

OFFLINE: tuple[str, ...] = ("diabetes", "concrete", "abalone")
SHIPPED = Path(__file__).parent


# eq=False: arrays have no single truth value to compare by.
@dataclass(frozen=True, eq=False)
class Dataset:
    """n examples of m features and a target; `name` is the set's, or the stem of a person's own file.

    Args:
        known: one of SOURCES; a person's own file may have the name of any other.
    """

    name: str
    X: Float[np.ndarray, "n m"]
    t: Float[np.ndarray, " n"]
    features: tuple[str, ...]
    known: bool = True


@dataclass(frozen=True)
class Source:
    """What a known set must measure before constant features are dropped, and its number at OpenML."""

    rows: int
    columns: int
    openml: int | None = None
    # The features where whoever published the set has left the constant ones out.
    reduced: int | None = None
    # Files of these sets may carry a second target after the first, which is ignored.
    second_target: bool = False


SOURCES: dict[str, Source] = {
    "diabetes": Source(442, 10),
    "concrete": Source(1030, 8),
    "abalone": Source(4177, 8),
    "energy": Source(768, 8, 44960, second_target=True),
    "airfoil": Source(1503, 5, 44957),
    "kin8nm": Source(8192, 8, 44980),
    "naval": Source(11934, 16, 44969, reduced=14, second_target=True),
    "protein": Source(45730, 9, 44963),
    "wine-red": Source(1599, 11, 44972),
    "wine-white": Source(4898, 11, 44971),
    "yacht": Source(308, 6, 42370),
    "power": Source(9568, 4),
    "boston": Source(506, 13, 531),
}


def available(data_home: Path | None) -> list[str]:
    """The sets to be had without a network: OFFLINE, then every known one whose file lies in `data_home`.

    Boston, which has a column built on race, is never among them: it is there for whoever asks for it by name.
    """
    names = [name for name in SOURCES if name not in (*OFFLINE, "boston") and _file(name, data_home)]
    return [*OFFLINE, *names]


def load(name: str, data_home: Path | None = None) -> Dataset:
    """A known set, from the first of: a file in `data_home`, what is installed here, OpenML.

    Args:
        name: One of SOURCES.
        data_home: A folder with NAME.txt[.gz] (parted by white space, no header) or NAME.csv[.gz] (commas and
            a header), features first, target next; wine_red.txt will do for wine-red.

    Raises:
        UserError: The name is unknown, no source has the set, its size is not the expected one, or its numbers
            are not usable.

    Warns:
        InputWarning: Constant features were dropped, or the features are exactly dependent.

    >>> concrete = load("concrete")
    >>> concrete.X.shape, concrete.features[0], concrete.t[0].item()
    ((1030, 8), 'cement', 79.99)
    """
    if name not in SOURCES:
        raise UserError(f"no data set is called '{name}': choose one of {listing(list(SOURCES))}, or give a CSV")
    path = _file(name, data_home)
    if path is not None:
        return _from_file(name, path)
    if name == "diabetes":
        return _from_bunch(name, load_diabetes(scaled=False), "scikit-learn's diabetes")
    if name in OFFLINE:
        return _from_file(name, SHIPPED / f"{name}.csv.gz")
    return _from_bunch(name, _openml(name), f"OpenML's {name}")


def read_csv(path: Path, target: str) -> Dataset:
    """A person's own table: a .csv or .csv.gz with a header; every column but `target` is a feature.

    Raises:
        UserError: The file cannot be read, has no such column, or holds what no experiment could use.

    Warns:
        InputWarning: Constant features were dropped, or the features are exactly dependent.
    """
    table = read_table(path, header=True)
    if target not in table.names:
        raise UserError(f"{path} has no column '{target}': its columns are {listing(table.names)}")
    values, j = numbers(table), table.names.index(target)
    X, features = np.delete(values, j, axis=1), [name for name in table.names if name != target]
    return _checked(Path(path.name.removesuffix(".gz")).stem, X, values[:, j], features, table.where, known=False)


def _checked(
    name: str,
    X: np.ndarray,
    t: np.ndarray,
    features: list[str],
    where: str,
    by_design: bool = False,
    known: bool = True,
) -> Dataset:
    X, usable = usable_features(X, t, features, where)
    if not by_design:
        warn_of_dependence(X, where)
    return Dataset(name, np.ascontiguousarray(X), t.copy(), usable, known)


def _file(name: str, data_home: Path | None) -> Path | None:
    if data_home is None:
        return None
    if not data_home.is_dir():
        raise UserError(f"there is no folder {data_home}: give --data-home a folder with files of data")
    stems = dict.fromkeys((name, name.replace("-", "_")))
    paths = [data_home / f"{stem}{end}" for stem in stems for end in (".txt", ".txt.gz", ".csv", ".csv.gz")]
    return next((path for path in paths if path.exists()), None)


def _check_size(name: str, where: str, rows: int, columns: int) -> None:
    source = SOURCES[name]
    if rows != source.rows or columns not in (source.columns, source.reduced):
        expected = f"expected {source.rows} rows x {source.columns} features for {name}"
        raise UserError(f"{where}: {expected}, found {rows} x {columns}; give --data-home another file of it")


def _from_file(name: str, path: Path) -> Dataset:
    table = read_table(path, header=".csv" in path.suffixes)
    source = SOURCES[name]
    m = len(table.names) - 1
    if source.second_target and m - 1 in (source.columns, source.reduced):
        m -= 1
    _check_size(name, table.where, len(table.rows), m)
    table = Table(table.where, table.names[: m + 1], [row[: m + 1] for row in table.rows], table.lines)
    # Nobody needs to be told at every run that the three indicators are dependent.
    indicators = name == "abalone"
    if indicators:
        table = _sex_as_indicators(table)
    values = numbers(table)
    return _checked(name, values[:, :-1], values[:, -1], list(table.names[:-1]), table.where, by_design=indicators)


def _sex_as_indicators(table: Table) -> Table:
    """Abalone's first column in three: sex_M, sex_F, sex_I; UserError where it is neither M, F nor I."""
    for row, line in zip(table.rows, table.lines, strict=True):
        if row[0] not in ("M", "F", "I"):
            place = f"{table.where}, line {line}, column '{table.names[0]}'"
            raise UserError(f"{place}: {row[0][:40]!r} where M, F or I must be; mend it")
    rows = [[str(int(row[0] == sex)) for sex in "MFI"] + row[1:] for row in table.rows]
    return Table(table.where, ("sex_M", "sex_F", "sex_I", *table.names[1:]), rows, table.lines)


def _openml(name: str) -> Any:
    file = f"--data-home DIR with {name}.txt.gz or {name}.csv in it"
    if SOURCES[name].openml is None:
        raise UserError(f"no source has {name}: give {file}")
    try:
        # What it warns of (retries, an old version) is answered here by an error, or by the checks that follow.
        with warnings.catch_warnings(action="ignore"):
            return fetch_openml(data_id=SOURCES[name].openml, as_frame=False, parser="liac-arff")
    # Network, proxy, cache, checksum, format: what it raises is not documented, and each has the same cure.
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"no network, or OpenML does not give {name} ({why}): give {file}") from error


def _from_bunch(name: str, bunch: Any, where: str) -> Dataset:
    """A dataset from scikit-learn's container; nominal columns that hold numbers come as codes of them."""
    features = list(bunch["feature_names"])
    try:
        X, t = np.array(bunch["data"], dtype=float), np.array(bunch["target"], dtype=float)
        levels = {k: np.array(v, dtype=float) for k, v in (bunch.get("categories") or {}).items()}
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} holds text ({error}): give --data-home DIR with {name}.csv in it") from error
    if X.ndim != 2 or t.shape != X.shape[:1]:
        raise UserError(f"{where} is not a table with one target: give --data-home DIR with {name}.csv in it")
    _check_size(name, where, *X.shape)
    check_numbers(np.column_stack([X, t]), [*features, "the target"], where)
    for feature, values in levels.items():
        j = features.index(feature)
        X[:, j] = values[X[:, j].astype(int)]
    return _checked(name, X, t, features, where)
