import gzip
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.console.command import InputWarning, UserError
from reference.console.tables import read_table
from toy.data.tables import LARGEST, check_numbers, numbers, usable_features, warn_of_dependence


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file that each example of a property overwrites."""
    return tmp_path_factory.mktemp("tables") / "table.csv"


def random_table(seed, n, k):
    # Eleven powers of ten, so that a reader that rounds is found out.
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, k)) * 10.0 ** rng.integers(-5, 6, size=(n, k))


def cells_of(values):
    return [[repr(float(value)) for value in row] for row in values]


def csv_text(cells, end="\n"):
    header = [f"c{j}" for j in range(len(cells[0]))]
    return end.join(",".join(row) for row in [header, *cells]) + end


seeds, sizes, widths = st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 6)


@given(seeds, sizes, widths, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.booleans())
def test_a_written_csv_comes_back_bit_for_bit(file, seed, n, k, end, zipped, bom):
    values = random_table(seed, n, k)
    raw = csv_text(cells_of(values), end).encode("utf-8-sig" if bom else "utf-8")
    path = file.with_name("table.csv.gz") if zipped else file
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    table = read_table(path, header=True)
    assert table.names == tuple(f"c{j}" for j in range(k))
    np.testing.assert_array_equal(numbers(table), values)


@given(seeds, sizes, widths, st.sampled_from([" ", "\t", "   "]))
def test_a_written_text_table_comes_back_bit_for_bit(file, seed, n, k, blank):
    values = random_table(seed, n, k)
    file.write_text("".join(blank + blank.join(row) + blank + "\n" for row in cells_of(values)))
    table = read_table(file, header=False)
    assert table.names == tuple(f"x{j}" for j in range(k))
    np.testing.assert_array_equal(numbers(table), values)


def table_with_a_broken_row(data, broken):
    """A table's text, one row of it put through `broken` and some lines blank; the row's line in the text."""
    cells = cells_of(random_table(data.draw(seeds), data.draw(sizes), data.draw(st.integers(2, 6))))
    i, point = data.draw(st.integers(0, len(cells) - 1)), data.draw(st.integers(0, len(cells)))
    lines = csv_text(cells).splitlines()
    lines[i + 1] = ",".join(broken(cells[i]))
    lines[point:point] = [""] * 2
    return "\n".join(lines), i + 2 + (2 if point <= i + 1 else 0)


def replaced(data, cell):
    """Puts `cell` in any place of a row, and the name of that column."""
    j = data.draw(st.integers(0, 1))
    return (lambda row: [*row[:j], cell, *row[j + 1 :]]), f"c{j}"


@given(st.data(), st.sampled_from(["", "NA", "?", "1_000", "0x1f", "1 2", '"1,5"', "M", "--1", "9" * 60 + "x"]))
def test_one_cell_of_text_is_found_and_its_line_and_column_named(file, data, cell):
    broken, column = replaced(data, cell)
    text, line = table_with_a_broken_row(data, broken)
    file.write_text(text)
    with pytest.raises(UserError, match=f"line {line}, column '{column}'.* where a number must be") as refused:
        numbers(read_table(file, header=True))
    assert (repr(cell.strip('"')[:40]) if cell else "an empty cell") in str(refused.value)


@given(st.data(), st.sampled_from(["nan", "NaN", "inf", "-inf", "Infinity", "1e400"]))
def test_one_nan_or_inf_is_found_and_its_line_and_column_named(file, data, cell):
    broken, column = replaced(data, cell)
    text, line = table_with_a_broken_row(data, broken)
    file.write_text(text)
    with pytest.raises(UserError, match=f"line {line}, column '{column}': .* is not a finite number"):
        numbers(read_table(file, header=True))


@given(st.data(), st.sampled_from(["1.1e150", "-1e200", "1e308"]))
def test_one_number_whose_square_overflows_is_found_and_its_line_named(file, data, cell):
    broken, column = replaced(data, cell)
    text, line = table_with_a_broken_row(data, broken)
    file.write_text(text)
    with pytest.raises(UserError, match=f"line {line}, column '{column}': .*rescale"):
        numbers(read_table(file, header=True))


@given(st.data(), st.sampled_from([lambda row: row[:-1], lambda row: [*row, "1"], lambda row: [*row, ""]]))
def test_one_ragged_row_is_found_and_its_line_named(file, data, broken):
    text, line = table_with_a_broken_row(data, broken)
    file.write_text(text)
    with pytest.raises(UserError, match=rf"line {line}: \d columns where line \d has \d"):
        read_table(file, header=True)


@given(st.data())
def test_a_ragged_row_of_a_table_without_header_is_found_too(file, data):
    text, line = table_with_a_broken_row(data, lambda row: row[:-1])
    file.write_text(text.replace(",", " "))
    with pytest.raises(UserError, match=f"line {line}: "):
        read_table(file, header=False)


def test_a_number_in_a_table_that_is_no_file_is_placed_by_its_row():
    values = np.ones((5, 2))
    values[3, 1] = np.nan
    with pytest.raises(UserError, match="there, row 4, column 'b': nan"):
        check_numbers(values, ("a", "b"), "there")


def refusal(path, header):
    try:
        numbers(read_table(path, header))
    except UserError as refused:
        return str(refused)


def is_one_line_that_names(path, text):
    return str(path) in text and len(text.splitlines()) == 1


@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_any_bytes_are_a_table_or_one_line_of_refusal(file, raw, header, zipped):
    path = file.with_name("any.csv.gz" if zipped else "any.csv")
    path.write_bytes(raw)
    assert refusal(path, header) is None or is_one_line_that_names(path, refusal(path, header))


@given(st.text('0123456789.,;"\n\r\t -x_e', max_size=200), st.booleans())
def test_any_text_is_a_table_or_one_line_of_refusal(file, text, header):
    file.write_bytes(text.encode())
    assert refusal(file, header) is None or is_one_line_that_names(file, refusal(file, header))


@given(st.integers(1, 300))
def test_a_gzip_file_cut_anywhere_is_refused(file, kept):
    whole = gzip.compress(csv_text(cells_of(random_table(0, 30, 4))).encode())
    path = file.with_name("cut.csv.gz")
    path.write_bytes(whole[:kept])
    with pytest.raises(UserError, match=r"cut\.csv\.gz is no gzip file, or a damaged one"):
        read_table(path, header=True)


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        ("plain.csv.gz", b"a,b\n1,2\n", "no gzip file"),
        ("zipped.csv", gzip.compress(b"a,b\n1,2\n", mtime=0), "not text in UTF-8"),
        ("latin.csv", "größe,b\n1,2\n".encode("latin-1"), "not text in UTF-8"),
        ("garbage.csv.gz", gzip.compress(b"a,b\n", mtime=0)[:10] + b"\xff" * 20, "a damaged one"),
        ("nothing.csv", b"", "is empty"),
        ("nothing.csv.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("blank.csv", b"\n \n\n", "is empty"),
        ("quote.csv", b'a,b\n1,"2\n', "line 2: .*quotes"),
        ("semicolons.csv", b"a;b\n1;2\n", "line 1: .*part them by commas"),
        ("tabs.csv", b"a\tb\n1\t2\n", "line 1: .*part them by commas"),
        ("quoted.csv", b'"a";"b"\n1;2\n', "line 1: .*part them by commas"),
        ("comma-in-a-name.csv", b"a, in cm;b;c\n1;2;3\n", "line 1: .*part them by commas"),
        ("bare.csv", b"1.5,2\n1,2\n", "line 1: .*add a header line"),
        ("index.csv", b"b,,c\n1,2,3\n", "line 1: column 2 has no name"),
        ("twice.csv", b"b,a,b\n1,2,3\n", "line 1: more than one column is named b;"),
        ("alike.csv", b"a  b,c,a b \n1,2,3\n", "line 1: more than one column is named a b;"),
    ],
)
def test_a_file_that_holds_no_table_says_why(tmp_path, name, raw, words):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(UserError, match=f"{re.escape(name)}.*{words}"):
        read_table(tmp_path / name, header=True)


def test_a_name_may_hold_another_mark(tmp_path):
    (tmp_path / "marks.csv").write_text("a;b;c,d\n1,2\n", encoding="utf-8")
    assert read_table(tmp_path / "marks.csv", header=True).names == ("a;b;c", "d")


def test_a_name_over_two_lines_is_read_as_one_line(tmp_path):
    (tmp_path / "wrapped.csv").write_text('"price\n  in EUR",b\n1,2\n')
    table = read_table(tmp_path / "wrapped.csv", header=True)
    assert table.names == ("price in EUR", "b")
    assert table.lines == [3]


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(UserError, match=r"there is no file .*none\.csv"):
        read_table(tmp_path / "none.csv", header=True)
    with pytest.raises(UserError, match="is a folder"):
        read_table(tmp_path, header=True)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be read"):
        read_table(tmp_path / "file" / "x.csv", header=True)


def names(k):
    return tuple(f"c{j}" for j in range(k))


@given(seeds, st.integers(10, 40), widths, st.data())
def test_constant_features_are_dropped_named_and_the_others_kept(seed, n, m, data):
    # Sums of 0.1 round, so a constant's computed standard deviation is not always zero.
    value = data.draw(st.sampled_from([0.0, 0.1, -7.3, 1e9 / 3, 1e-300, LARGEST]))
    j = data.draw(st.integers(0, m))
    rng = np.random.default_rng(seed)
    kept, t = rng.normal(size=(n, m)), rng.normal(size=n)
    with pytest.warns(InputWarning, match=f"^there: dropped the constant features c{j}$"):
        X, features = usable_features(np.insert(kept, j, value, axis=1), t, names(m + 1), "there")
    np.testing.assert_array_equal(X, kept)
    assert features == tuple(name for name in names(m + 1) if name != f"c{j}")


@given(seeds, st.integers(10, 40), widths, st.sampled_from([1e-100, 1e-6, 1.0, 1e100]), st.sampled_from([0, 1e6]))
def test_features_that_vary_are_kept_as_they_are_without_a_warning(seed, n, m, scale, offset):
    rng = np.random.default_rng(seed)
    given_X = scale * (rng.normal(size=(n, m)) + offset)
    X, features = usable_features(given_X, rng.normal(size=n), names(m), "there")
    warn_of_dependence(X, "there")
    np.testing.assert_array_equal(X, given_X)
    assert features == names(m)


@given(seeds, st.integers(10, 40), st.integers(1, 6), st.sampled_from([0.0, 1.0, -1e3, 1e6]), st.floats(0.1, 10))
def test_exactly_dependent_features_are_told_with_their_rank(seed, n, m, offset, scale):
    rng = np.random.default_rng(seed)
    free = rng.normal(size=(n, m))
    # The offset goes with the mean, but the cells are rounded at its size.
    given_X = np.column_stack([free, offset + scale * free @ rng.normal(size=m)])
    with pytest.warns(InputWarning, match=rf"the {m + 1} features are exactly dependent \(rank {m}\)"):
        warn_of_dependence(given_X, "there")


def test_more_features_than_rows_are_dependent():
    rng = np.random.default_rng(0)
    with pytest.warns(InputWarning, match="rank 9"):
        warn_of_dependence(rng.normal(size=(10, 12)), "there")


def test_nine_rows_are_too_few_and_ten_enough():
    x = np.arange(10.0)
    usable_features(x[:, None], x, ("x",), "there")
    with pytest.raises(UserError, match="there has 9 rows: give at least 10"):
        usable_features(x[:9, None], x[:9], ("x",), "there")


@given(st.integers(10, 40), st.sampled_from([0.0, 0.1, -7.3, 1e9 / 3]))
def test_a_constant_target_is_refused(n, value):
    with pytest.raises(UserError, match="the target is constant"):
        usable_features(np.arange(float(n))[:, None], np.full(n, value), ("x",), "there")


def test_a_table_without_features_that_vary_is_refused():
    t = np.arange(10.0)
    with pytest.raises(UserError, match="every feature is constant"):
        usable_features(np.ones((10, 2)), t, ("a", "b"), "there")
    with pytest.raises(UserError, match="no feature column"):
        usable_features(np.empty((10, 0)), t, (), "there")


def test_a_spread_too_small_to_square_is_refused_and_not_taken_for_constant():
    t = np.arange(10.0)
    with pytest.raises(UserError, match="column 'b' varies by 9e-160 only: rescale"):
        usable_features(np.column_stack([t, 1e-160 * t]), t, ("a", "b"), "there")
    with pytest.raises(UserError, match="column 'the target' varies"):
        usable_features(t[:, None], 1e-200 * t, ("a",), "there")


@given(seeds)
def test_numbers_up_to_1e150_are_let_through_and_have_a_finite_variance(seed):
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(100, 2))
    check_numbers(1e150 * signs, ("a", "b"), "there")
    # Warnings are errors here: an overflow would fail the test.
    assert np.isfinite((1e150 * signs).var(axis=0)).all()
