"""A table of numbers, refused in one line where no experiment could use it.

| name     | symbol | shape  |                                                      |
|----------|--------|--------|------------------------------------------------------|
| `values` |        | (n, k) | the whole table, features and target                 |
| `X`      | X      | (n, m) | features; constant ones are dropped, so m may shrink |
| `t`      | t      | (n,)   | target                                               |
"""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from reference.console.command import InputWarning, UserError
from reference.console.tables import Table, as_number, listing

FEWEST_ROWS = 10
# Losses square what they are given: sums of squares overflow beyond LARGEST and vanish below its inverse.
LARGEST = 1e150


def numbers(table: Table) -> Float[np.ndarray, "n k"]:
    """The cells as finite numbers; UserError at the first that is text, NaN, inf or too large to square."""
    values = [[as_number(cell) for cell in row] for row in table.rows]
    for row, cells, line in zip(values, table.rows, table.lines, strict=True):
        if None in row:
            j = row.index(None)
            problem = repr(cells[j][:40]) if cells[j] else "an empty cell"
            place = f"{table.where}, line {line}, column '{table.names[j]}'"
            raise UserError(f"{place}: {problem} where a number must be; mend it, or code the column as numbers")
    array = np.array(values, dtype=float).reshape(-1, len(table.names))
    check_numbers(array, table.names, table.where, table.lines)
    return array


def check_numbers(
    values: Float[np.ndarray, "n k"], names: Sequence[str], where: str, lines: Sequence[int] | None = None
) -> None:
    """UserError at the first NaN, inf or number too large to square; `lines` are those of a file."""
    finite = np.isfinite(values)
    for i, j in np.argwhere(~finite | (np.abs(values) > LARGEST))[:1]:
        place = f"row {i + 1}" if lines is None else f"line {lines[i]}"
        problem = f"is beyond {LARGEST:g}, where squares overflow: rescale the column"
        problem = problem if finite[i, j] else "is not a finite number: mend the cell or remove its row"
        raise UserError(f"{where}, {place}, column '{names[j]}': {values[i, j]:g} {problem}")


def usable_features(
    X: Float[np.ndarray, "n m"], t: Float[np.ndarray, " n"], features: Sequence[str], where: str
) -> tuple[Float[np.ndarray, "n kept"], tuple[str, ...]]:
    """X without its constant columns, and the names of the columns that stay.

    Raises:
        UserError: No feature, fewer than 10 rows, a constant target, or no feature that varies.

    Warns:
        InputWarning: Names the constant features that it drops.
    """
    if not features:
        raise UserError(f"{where} has no feature column: give a table with columns beside the target")
    if len(X) < FEWEST_ROWS:
        raise UserError(f"{where} has {len(X)} rows: give at least {FEWEST_ROWS}")
    if _constant(t[:, None], ["the target"], where)[0]:
        raise UserError(f"{where}: the target is constant, nothing can be learnt; choose another target")
    constant = _constant(X, features, where)
    if constant.all():
        raise UserError(f"{where}: every feature is constant; give a table with features that vary")
    if constant.any():
        dropped = listing([name for name, drop in zip(features, constant, strict=True) if drop])
        warnings.warn(f"{where}: dropped the constant features {dropped}", InputWarning, stacklevel=2)
    X, usable = X[:, ~constant], tuple(name for name, drop in zip(features, constant, strict=True) if not drop)
    return X, usable


def warn_of_dependence(X: Float[np.ndarray, "n m"], where: str) -> None:
    """Say so where features are exactly dependent: the standardised X has a rank below its number of columns.

    Warns:
        InputWarning: They are.
    """
    rank = _rank(X)
    if rank < X.shape[1]:
        problem = f"the {X.shape[1]} features are exactly dependent (rank {rank})"
        warnings.warn(f"{where}: {problem}; ridge is well posed all the same", InputWarning, stacklevel=2)


def _constant(X: Float[np.ndarray, "n m"], names: Sequence[str], where: str) -> Bool[np.ndarray, " m"]:
    spread = np.ptp(X, axis=0)
    for j in np.flatnonzero((spread > 0) & (spread < 1 / LARGEST))[:1]:
        raise UserError(f"{where}, column '{names[j]}' varies by {spread[j]:g} only: rescale the column")
    # StandardScaler's bound: what varies by rounding alone is constant.
    return X.std(axis=0) <= len(X) * np.finfo(float).eps * np.abs(X.mean(axis=0))


def _rank(X: Float[np.ndarray, "n m"]) -> int:
    """Numerical rank of the standardised X, whose 2-norm is at most √(nm)."""
    (n, m), std = X.shape, X.std(axis=0)
    # Besides the decomposition's rounding, that of the cells themselves, which standardising magnifies.
    cells = 2 * np.sqrt(n) * np.linalg.norm(np.abs(X).max(axis=0) / std)
    tolerance = np.finfo(float).eps * (max(n, m) * np.sqrt(n * m) + cells)
    return int(np.linalg.matrix_rank((X - X.mean(axis=0)) / std, tol=tolerance))
