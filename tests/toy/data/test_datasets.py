import gzip
import http.client
import warnings
from dataclasses import replace
from types import SimpleNamespace
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from sklearn.utils import Bunch

import toy.data.datasets
from reference.console.command import InputWarning, UserError
from toy.data.datasets import OFFLINE, SHIPPED, SOURCES, available, load, read_csv


@pytest.fixture(autouse=True)
def openml(monkeypatch):
    """OpenML's stand-in: raises its `error` until a test gives it a `bunch`; `calls` are what it was asked."""
    stand_in = SimpleNamespace(bunch=None, error=URLError("no such host"), calls=[])

    def fetch_openml(**asked):
        stand_in.calls.append(asked)
        if stand_in.bunch is None:
            raise stand_in.error
        return stand_in.bunch

    monkeypatch.setattr(toy.data.datasets, "fetch_openml", fetch_openml)
    return stand_in


def random_values(rows, columns, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns))


def write(path, values, header=None):
    """A table as `load` reads it: by commas under a header, or by blanks without one."""
    parted = " " if header is None else ","
    lines = [parted.join(repr(float(value)) for value in row) for row in values]
    raw = "\n".join(lines if header is None else [",".join(header), *lines]).encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def bunch_of(values, **changes):
    features = [f"f{j}" for j in range(values.shape[1] - 1)]
    fields = {"data": values[:, :-1], "target": values[:, -1], "feature_names": features, "categories": {}}
    return Bunch(**fields | changes)


# What is installed.


def test_the_offline_sets_load_without_a_warning_and_without_openml(openml):
    shapes = {name: load(name).X.shape for name in OFFLINE}
    assert shapes == {"diabetes": (442, 10), "concrete": (1030, 8), "abalone": (4177, 10)}
    assert openml.calls == []


@pytest.mark.parametrize("name", OFFLINE)
def test_an_offline_set_agrees_in_its_sizes_names_and_layout(name):
    data = load(name)
    assert data.name == name
    assert data.t.shape == (len(data.X),)
    assert len(data.features) == data.X.shape[1]
    assert data.X.dtype == data.t.dtype == float
    assert data.X.flags.c_contiguous


def test_diabetes_is_the_unscaled_one():
    X, t = load_diabetes(return_X_y=True, scaled=False)
    data = load("diabetes")
    np.testing.assert_array_equal(data.X, X)
    np.testing.assert_array_equal(data.t, t)
    assert data.features == ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


def test_concrete_has_the_published_statistics():
    data = load("concrete")
    table = dict(zip(data.features, data.X.T, strict=True))
    # Minima and maxima of the spreadsheet at UCI, which has more digits: here they are rounded.
    for column, published, rounding in (
        (table["cement"], [102, 540], 0),
        (table["water"], [121.75, 247], 0.051),
        (table["superplasticizer"], [0, 32.2], 0),
        (table["age"], [1, 365], 0),
        (data.t, [2.331807832, 82.5992248], 0.0051),
    ):
        np.testing.assert_allclose([column.min(), column.max()], published, rtol=0, atol=rounding)


def test_abalone_has_the_published_statistics():
    data = load("abalone")
    table = dict(zip(data.features, data.X.T, strict=True))
    # The set's documentation at UCI: minimum, maximum, mean and sd, to three decimals.
    for column, published in (
        (data.t, [1, 29, 9.934, 3.224]),
        (table["length"], [0.075, 0.815, 0.524, 0.120]),
        (table["whole_weight"], [0.002, 2.826, 0.829, 0.490]),
    ):
        actual = [column.min(), column.max(), column.mean(), column.std(ddof=1)]
        np.testing.assert_allclose(actual, published, rtol=0, atol=5.01e-4)


def test_abalone_s_sex_is_three_indicators_that_sum_to_one_without_a_warning():
    with gzip.open(SHIPPED / "abalone.csv.gz", "rt") as file:
        sex = [line[0] for line in file][1:]
    data = load("abalone")
    assert data.features[:3] == ("sex_M", "sex_F", "sex_I")
    np.testing.assert_array_equal(data.X[:, :3], [[letter == item for item in "MFI"] for letter in sex])


@pytest.mark.parametrize("name", ["concrete", "abalone"])
def test_a_shipped_file_carries_no_time_stamp_and_a_notice(name):
    # Bytes 4 to 7 of a gzip file are its time stamp.
    assert (SHIPPED / f"{name}.csv.gz").read_bytes()[4:8] == bytes(4)
    assert f"{name}.csv.gz" in (SHIPPED / "NOTICE.md").read_text(encoding="utf-8")


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"'wine': choose one of diabetes, .*boston"):
        load("wine")


# A folder of files.


@pytest.mark.parametrize("ending", [".txt", ".txt.gz", ".csv", ".csv.gz"])
def test_a_file_of_the_folder_is_read_in_each_form(tmp_path, openml, ending):
    values = random_values(308, 7)
    header = ["a", "b", "c", "d", "e", "f", "t"] if "csv" in ending else None
    write(tmp_path / f"yacht{ending}", values, header)
    data = load("yacht", tmp_path)
    np.testing.assert_array_equal(data.X, values[:, :6])
    np.testing.assert_array_equal(data.t, values[:, 6])
    assert data.features == (tuple("abcdef") if header else ("x0", "x1", "x2", "x3", "x4", "x5"))
    assert openml.calls == []


def test_a_file_of_the_folder_wins_over_what_is_installed(tmp_path):
    values = random_values(1030, 9)
    write(tmp_path / "concrete.txt", values)
    np.testing.assert_array_equal(load("concrete", tmp_path).t, values[:, 8])


def test_what_the_folder_lacks_comes_from_where_it_does_without_one(tmp_path):
    np.testing.assert_array_equal(load("concrete", tmp_path).X, load("concrete").X)


def test_the_folders_spelling_wine_red_is_read_as_wine_red(tmp_path):
    write(tmp_path / "wine_red.txt.gz", random_values(1599, 12))
    assert load("wine-red", tmp_path).name == "wine-red"


def test_available_is_what_needs_no_network_in_one_order(tmp_path):
    assert available(None) == available(tmp_path) == ["diabetes", "concrete", "abalone"]
    for file in (
        "yacht.txt",
        "wine_white.csv.gz",
        "abalone.csv",
        "energy.txt.gz",
        "other.txt",
        "boston.txt",
        "power.md",
    ):
        (tmp_path / file).touch()
    assert "boston" not in available(tmp_path)
    assert available(tmp_path) == ["diabetes", "concrete", "abalone", "energy", "wine-white", "yacht"]


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for home in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(UserError, match=r"there is no folder .*: give --data-home"):
            available(home)
        with pytest.raises(UserError, match="there is no folder"):
            load("diabetes", home)


@pytest.mark.parametrize("name", ["diabetes", "concrete", "energy", "airfoil", "wine-red", "yacht", "boston"])
@pytest.mark.parametrize(("more_rows", "more_columns"), [(-1, 0), (1, 0), (0, -1), (0, 2)])
def test_a_file_of_another_size_is_refused_with_both_sizes(tmp_path, name, more_rows, more_columns):
    rows, columns = SOURCES[name].rows, SOURCES[name].columns
    write(tmp_path / f"{name}.txt", random_values(rows + more_rows, columns + 1 + more_columns))
    expected = f"expected {rows} rows x {columns} features for {name}"
    with pytest.raises(UserError, match=f"{expected}, found {rows + more_rows} x {columns + more_columns}"):
        load(name, tmp_path)


def test_naval_loses_its_constant_columns_by_name_and_ignores_its_second_target(tmp_path):
    values = random_values(11934, 18)
    values[:, [8, 11]] = 288.0, 0.998
    write(tmp_path / "naval.txt", values)
    with pytest.warns(InputWarning, match="dropped the constant features x8, x11$"):
        data = load("naval", tmp_path)
    np.testing.assert_array_equal(data.X, np.delete(values[:, :16], [8, 11], axis=1))
    np.testing.assert_array_equal(data.t, values[:, 16])


@pytest.mark.parametrize("width", [9, 10])
def test_energy_s_target_is_its_ninth_column_with_or_without_a_second(tmp_path, width):
    values = random_values(768, width)
    write(tmp_path / "energy.txt", values)
    np.testing.assert_array_equal(load("energy", tmp_path).t, values[:, 8])


def test_abalone_with_an_unknown_sex_is_refused_by_line(tmp_path):
    text = gzip.decompress((SHIPPED / "abalone.csv.gz").read_bytes()).decode()
    (tmp_path / "abalone.csv").write_text(text.replace("\nF,", "\nX,", 1))
    with pytest.raises(UserError, match="line 4, column 'sex': 'X' where M, F or I must be"):
        load("abalone", tmp_path)


# OpenML.


@pytest.mark.parametrize("name", [name for name in SOURCES if name not in (*OFFLINE, "power")])
def test_openml_is_asked_by_number_and_gives_the_set_that_was_expected(openml, name):
    source = SOURCES[name]
    values = random_values(source.rows, source.columns + 1)
    openml.bunch = bunch_of(values)
    data = load(name)
    assert openml.calls == [{"data_id": source.openml, "as_frame": False, "parser": "liac-arff"}]
    np.testing.assert_array_equal(data.X, values[:, :-1])
    np.testing.assert_array_equal(data.t, values[:, -1])


def test_openml_s_numbers_are_those_of_public_code():
    numbers = {name: source.openml for name, source in SOURCES.items() if source.openml}
    assert numbers == {
        "energy": 44960,
        "airfoil": 44957,
        "kin8nm": 44980,
        "naval": 44969,
        "protein": 44963,
        "wine-red": 44972,
        "wine-white": 44971,
        "yacht": 42370,
        "boston": 531,
    }


@pytest.mark.parametrize(("rows", "columns"), [(307, 6), (309, 6), (308, 5), (308, 7)])
def test_openml_s_answer_of_another_size_is_refused_with_both_sizes(openml, rows, columns):
    openml.bunch = bunch_of(random_values(rows, columns + 1))
    with pytest.raises(UserError, match=f"expected 308 rows x 6 features for yacht, found {rows} x {columns}"):
        load("yacht")


def test_openml_may_have_left_out_naval_s_constant_columns(openml):
    openml.bunch = bunch_of(random_values(11934, 15))
    assert load("naval").X.shape == (11934, 14)
    openml.bunch = bunch_of(random_values(11934, 16))
    with pytest.raises(UserError, match="found 11934 x 15"):
        load("naval")


@pytest.mark.parametrize(
    "error",
    [
        URLError("no such host"),
        HTTPError("there", 503, "busy", http.client.HTTPMessage(), None),
        TimeoutError("timed out"),
        ConnectionResetError(104, "reset by peer"),
        http.client.IncompleteRead(b"half"),
        EOFError(),
        ValueError("md5 checksum\nof the file does not match"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_network_that_fails_is_one_line_that_names_the_way_out(openml, error):
    openml.error = error
    with pytest.raises(UserError, match=r"no network.*kin8nm.*give --data-home DIR with kin8nm") as refused:
        load("kin8nm")
    assert len(str(refused.value).splitlines()) == 1


def test_openml_s_own_warnings_are_not_shown(openml, monkeypatch):
    def fetch_openml(**_):
        warnings.warn("Retrying...", UserWarning, stacklevel=1)
        raise openml.error

    monkeypatch.setattr(toy.data.datasets, "fetch_openml", fetch_openml)
    with pytest.raises(UserError, match="no such host"):
        load("kin8nm")


def test_ctrl_c_during_a_download_stays_ctrl_c(openml):
    openml.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        load("kin8nm")


def test_power_is_not_at_openml(openml):
    with pytest.raises(UserError, match=r"no source has power: give --data-home DIR with power\.txt\.gz"):
        load("power")
    assert openml.calls == []


@pytest.mark.parametrize("column", [2, 6])
def test_nan_from_openml_is_refused_by_row_and_column(openml, column):
    values = random_values(308, 7)
    values[10, column] = np.nan
    openml.bunch = bunch_of(values)
    with pytest.raises(UserError, match=f"OpenML's yacht, row 11, column '{['f2', 'the target'][column == 6]}': nan"):
        load("yacht")


def test_text_from_openml_is_refused(openml):
    values = random_values(308, 7)
    for changes in (
        {"data": np.full((308, 6), "red", dtype=object)},
        {"target": np.full(308, "red", dtype=object)},
        {"categories": {"f1": ["red", "blue"]}},
    ):
        openml.bunch = bunch_of(values, **changes)
        with pytest.raises(UserError, match=r"OpenML's yacht holds text .*give --data-home"):
            load("yacht")


@pytest.mark.parametrize(
    "changes",
    [{"target": None}, {"target": np.ones((308, 2))}, {"data": np.ones(308)}],
    ids=["no target", "two targets", "no table"],
)
def test_an_answer_from_openml_that_is_not_a_table_and_one_target_is_refused(openml, changes):
    openml.bunch = bunch_of(random_values(308, 7), **changes)
    with pytest.raises(UserError, match="not a table with one target"):
        load("yacht")


def test_codes_from_openml_become_the_numbers_they_stand_for(openml):
    values = random_values(308, 7)
    codes = np.arange(308) % 3
    values[:, 4] = codes
    openml.bunch = bunch_of(values, categories={"f4": ["1", "24", "3"]})
    data = load("yacht")
    np.testing.assert_array_equal(data.X[:, 4], np.choose(codes, [1.0, 24.0, 3.0]))
    np.testing.assert_array_equal(data.X[:, 3], values[:, 3])


# A person's own table.


@given(st.integers(0, 2**32 - 1), st.integers(10, 40), st.integers(1, 6), st.data())
def test_a_written_csv_comes_back_with_any_column_as_target(tmp_path_factory, seed, n, m, data):
    values, j = random_values(n, m + 1, seed), data.draw(st.integers(0, m))
    names = [f"column {i}" for i in range(m + 1)]
    path = tmp_path_factory.mktemp("own") / data.draw(st.sampled_from(["my.own.csv", "my.own.csv.gz"]))
    write(path, values, names)
    own = read_csv(path, names[j])
    assert own.name == "my.own"
    assert own.features == tuple(names[:j] + names[j + 1 :])
    np.testing.assert_array_equal(own.X, np.delete(values, j, axis=1))
    np.testing.assert_array_equal(own.t, values[:, j])


def test_a_missing_target_is_refused_with_the_columns_there_are(tmp_path):
    write(tmp_path / "own.csv", random_values(12, 3), ["a", "b", "c"])
    with pytest.raises(UserError, match=r"own\.csv has no column 'd': its columns are a, b, c$"):
        read_csv(tmp_path / "own.csv", "d")
    names = [f"c{j}" for j in range(1000)]
    write(tmp_path / "wide.csv", random_values(12, 1000), names)
    with pytest.raises(UserError, match=r"c18, c19 and 980 more$"):
        read_csv(tmp_path / "wide.csv", "d")


def test_a_table_of_the_target_alone_is_refused(tmp_path):
    write(tmp_path / "own.csv", random_values(12, 1), ["t"])
    with pytest.raises(UserError, match=r"own\.csv has no feature column"):
        read_csv(tmp_path / "own.csv", "t")


def test_a_header_without_rows_has_too_few_rows(tmp_path):
    (tmp_path / "own.csv").write_text("a,t\n")
    with pytest.raises(UserError, match="has 0 rows: give at least 10"):
        read_csv(tmp_path / "own.csv", "t")


def test_a_constant_feature_of_a_csv_is_dropped_and_the_rest_keeps_its_names(tmp_path):
    values = random_values(12, 4)
    values[:, 1] = 0.1
    write(tmp_path / "own.csv", values, ["a", "b", "t", "c"])
    with pytest.warns(InputWarning, match=r"own\.csv: dropped the constant features b$"):
        own = read_csv(tmp_path / "own.csv", "t")
    assert own.features == ("a", "c")
    np.testing.assert_array_equal(own.X, values[:, [0, 3]])


def test_data_sets_are_told_apart_by_identity():
    data = load("diabetes")
    assert data != replace(data)
    assert data in {data}
