"""Figure b4 and its table: medians over seeds, the cheapest price, and the size that is shown."""

from pathlib import Path

import numpy as np
from numpy.testing import assert_array_equal

from figures.beyond.estimators import figb4, laboratory, tableb4
from reference.console.records import Record


def record(seed: int, errors: list[float], size: str = "full") -> Record:
    """Conjugate gradient at as many budgets as there are errors, prices 3, 5, ...; and a single exact one."""
    k = len(errors)
    history = {
        "estimator": np.array(["conjugate gradient"] * k + ["exact"]),
        "price": np.append(3.0 + 2 * np.arange(k), 5.5),
        "relative_error": np.append(errors, 0.0),
        "cosine": np.ones(k + 1),
        "sign": np.ones(k + 1),
    }
    settings = {"experiment": "estimators", "regime": "one-penalty", "title": "one", "size": size, "seed": seed}
    settings |= {"sigma": 1.0, "sigma_normalised": 0.01}
    return Record(Path(f"{size}-{seed}"), settings, {}, history)


RECORDS = [record(0, [1.0, 0.5, 0.01]), record(1, [3.0, 0.2, 0.03]), record(2, [2.0, 0.1, 0.02])]


def test_a_curve_is_the_median_over_seeds_at_each_budget() -> None:
    price, error = laboratory.curve(RECORDS, "conjugate gradient")
    assert_array_equal(price, [3.0, 5.0, 7.0])
    assert_array_equal(error, [2.0, 0.2, 0.02])
    assert_array_equal(laboratory.curve(RECORDS, "conjugate gradient", over_seeds=np.max)[1], [3.0, 0.5, 0.03])


def test_the_table_of_all_numbers_has_the_range_over_seeds() -> None:
    first = next(tableb4.rows(RECORDS))
    assert (first.relative_error, first.least_error, first.most_error, first.seeds) == (2.0, 1.0, 3.0, 3)


def test_the_caption_says_how_many_seeds_the_regimes_have() -> None:
    assert "Medians, 3 seeds." in figb4.caption(RECORDS)
    other = record(0, [1.0])
    other.settings["regime"] = "large"
    assert "Medians, 1 to 3 seeds." in figb4.caption([*RECORDS, other])
    assert "Medians, 1 seed." in figb4.caption([other])
    assert "Normalised: σ = 0.01 and Θ's step divided by σ²; the others at σ = 1." in figb4.caption([other])


def test_the_cheapest_price_is_the_least_whose_error_is_small_enough() -> None:
    prices = [laboratory.cheapest(RECORDS, "conjugate gradient", error) for error in (0.2, 0.19, 0.01)]
    assert prices == [5.0, 7.0, np.inf]
    assert tableb4.cell(RECORDS, "conjugate gradient") == "7"
    assert tableb4.cell(RECORDS[:1], "T1-T2") == "–"
    assert tableb4.cell([record(0, [1.0, 0.5])], "conjugate gradient") == "(0.5)"


def test_records_of_the_full_size_are_shown() -> None:
    assert figb4.shown([*RECORDS, record(0, [1.0], "small")]) == RECORDS


def test_the_picture_has_a_line_for_each_estimator_and_the_page_a_row() -> None:
    (axes,) = [axes for axes in figb4.draw(RECORDS).axes if axes.axison]
    lines = {line.get_gid(): line for line in axes.lines}
    assert set(lines) == {"conjugate gradient", "exact"}
    assert_array_equal(lines["conjugate gradient"].get_ydata(), [2.0, 0.2, 0.02])
    assert_array_equal(lines["exact"].get_ydata(), [figb4.FLOOR])
    page = tableb4.files(RECORDS)["tableb4.md"].decode()
    assert "| conjugate gradient | 7 |" in page
    assert "| exact | 5.5 |" in page
