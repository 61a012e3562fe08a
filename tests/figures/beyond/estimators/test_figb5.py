import matplotlib as mpl
import numpy as np
import pytest
from numpy.testing import assert_allclose

from figures.beyond.estimators import alternatives, tableb5
from figures.beyond.estimators.alternatives import LBFGS, Trace, median, shown
from figures.beyond.estimators.figb5 import FLOOR, draw
from figures.drawing import style
from figures.drawing.style import encode
from reference.console.records import Writer, read

HISTORY = [
    # method, seed, seconds, price, regret
    ("RidgeCV", 0, 1.0, 10.0, 0.5),
    ("RidgeCV", 0, 2.0, 20.0, 0.04),
    ("RidgeCV", 1, 1.0, 10.0, 0.3),
    ("RidgeCV", 1, 2.0, 20.0, 0.02),
    (LBFGS, 0, 0.1, 5.0, 0.2),
    (LBFGS, 0, 0.2, 6.0, 0.0),
    (LBFGS, 1, 0.1, 5.0, 0.005),
    ("STN", 0, 0.1, 1.0, 0.4),
    ("STN", 0, 0.4, 2.0, 0.001),
    ("STN", 1, 0.1, 1.0, 0.4),
    ("STN", 1, 0.4, 2.0, float("inf")),
]


def made(root, name="ridge", history=HISTORY):
    with Writer(root / "alternatives" / name, {"experiment": "alternatives", "name": name, "seeds": 2}) as writer:
        for row in history:
            writer.row(dict(zip(("method", "seed", "seconds", "price", "regret"), row, strict=True)))
    return read(root / "alternatives" / name)


def line(axes, gid):
    (actual,) = [line for line in axes.lines if line.get_gid() == gid]
    return np.asarray(actual.get_xdata()), np.asarray(actual.get_ydata())


def test_lines_are_medians_over_the_splits_in_per_cent(tmp_path):
    time, price = draw([made(tmp_path)]).axes
    for axes, x in ((time, [1.0, 2.0]), (price, [10.0, 20.0])):
        assert_allclose(line(axes, "RidgeCV"), [x, [40.0, 3.0]])
    assert_allclose(line(price, LBFGS), [[5.0, 6.0], [10.25, 0.25]])


def test_a_line_ends_with_the_longest_of_its_runs(tmp_path):
    figure = draw([made(tmp_path)])
    x, y = line(figure.axes[0], "STN")
    assert x.max() == 0.4
    assert np.isnan(y[-1])  # one of two has diverged
    assert "a line ends with the longest of its runs, or where half of them have" in " ".join(
        figure.get_supxlabel().split()
    )


def test_what_is_below_the_floor_is_on_it_and_what_diverged_is_nowhere(tmp_path):
    rows = [(LBFGS, 0, 0.1, 1.0, 0.1), (LBFGS, 0, 0.2, 2.0, 1e-9), (LBFGS, 0, 0.3, 3.0, float("inf"))]
    _, y = line(draw([made(tmp_path, history=rows)]).axes[0], LBFGS)
    assert_allclose(y, [10.0, FLOOR, np.nan])


def test_a_column_for_each_problem_in_the_tables_order(tmp_path):
    records = [made(tmp_path, name) for name in ("44-penalties", "logistic", "ridge")]
    assert [record.settings["name"] for record in shown(records)] == ["ridge", "logistic", "44-penalties"]
    titles = [axes.get_title().replace("\n", " ") for axes in draw(records).axes]
    assert titles == [*(alternatives.TITLES[name] for name in ("ridge", "logistic", "44-penalties")), "", "", ""]
    assert encode(draw(records), "svg") == encode(draw(records), "svg")


def test_a_median_of_steps_begins_where_all_have_begun_and_sorts_by_its_axis():
    late = Trace(np.array([5.0, 4.0]), np.array([1.0, 2.0]), np.array([0.1, 0.3]))
    early = Trace(np.array([1.0]), np.array([1.0]), np.array([0.5]))
    assert_allclose(median([late, early], "seconds"), [[4.0, 5.0], [0.4, 0.3]])
    assert_allclose(median([late, early], "price"), [[1.0, 2.0], [0.3, 0.4]])


def test_the_table_counts_what_reaches_one_per_cent_for_good(tmp_path):
    rows = {row.alternative: row for row in tableb5.rows(made(tmp_path))}
    assert (rows["RidgeCV"].reached, rows[LBFGS].reached, rows["STN"].reached) == (0, 2, 1)
    assert np.isnan(rows["RidgeCV"].price)
    assert np.isnan(rows["RidgeCV"].time)
    assert (rows[LBFGS].price, rows[LBFGS].time) == (5.5, 1.0)
    assert rows["STN"].price == 2.0
    assert_allclose(rows["STN"].time, 0.4 / 0.2)
    assert_allclose((rows["RidgeCV"].regret, rows["RidgeCV"].least, rows["RidgeCV"].most), (0.03, 0.02, 0.04))
    page = tableb5.files([made(tmp_path)])["tableb5.md"].decode()
    assert "| ridge (diabetes) | RidgeCV | 3 (2 to 4) | 0 of 2 | – | – |\n" in page
    assert "| ridge (diabetes) | STN | ∞ (0.1 to ∞) | 1 of 2 | 2 | 2 |\n" in page


def test_the_settings_of_pictures_are_left_alone(tmp_path):
    before = dict(mpl.rcParams)
    draw([made(tmp_path)])
    assert dict(mpl.rcParams) == before
    assert style.LINES["STN"]["color"] == "#D55E00"


@pytest.mark.parametrize("regret", [0.01, 0.0100001])
def test_one_per_cent_is_enough_and_more_is_not(regret):
    subject = tableb5.when(Trace(np.array([1.0]), np.array([7.0]), np.array([regret])))
    assert subject == ((1.0, 7.0) if regret == 0.01 else (np.inf, np.inf))
