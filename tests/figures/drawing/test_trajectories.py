import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

from figures.console.contents import ALL
from figures.drawing import style
from figures.drawing.trajectories import COLUMNS, wrapped
from figures.reading.variants import called
from reference.console.records import Record
from tests.figures.made import record

EXPECTED = {
    "fig03": {"STN", "Δ-STN"},
    "fig04": {"STN", "Centered STN", "Δ-STN"},
    "fig07": {"STN", "Δ-STN"},
    "fig08": {"STN", "Δ-STN"},
    "fig09": {"STN", "Reparam STN", "Centered STN", "Δ-STN"},
    "figb2": {"STN", "Δ-STN", "Δ-STN CV", "Δ-STN CV, σ = 0.3"},
    "figb2b": {"STN", "Δ-STN", "Δ-STN CV", "Δ-STN CV, σ = 0.3"},
}


def drawn(name, records):
    """The picture of that name."""
    figure = ALL[name].draw(records)
    assert isinstance(figure, Figure)
    return figure


def lines(figure, suffix):
    """Method -> its lines of that kind, over all panels."""
    actual = {}
    for axes in figure.axes:
        for line in axes.lines:
            method, _, kind = (line.get_gid() or "").partition(": ")
            if kind == suffix:
                actual.setdefault(method, []).append(line)
    return actual


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


@pytest.mark.parametrize("name", EXPECTED)
def test_every_method_of_the_paper_in_its_colour_and_dashes(name, records):
    figure = drawn(name, records(*ALL[name].needs))
    for suffix in ("mean", "median"):
        actual = lines(figure, suffix)
        assert actual.keys() == EXPECTED[name]
        for method, curves in actual.items():
            assert {to_hex(line.get_color()).upper() for line in curves} == {style.LINES[method]["color"]}
            # Dashes are scaled by the line's width only once they are drawn.
            assert {line._unscaled_dash_pattern[1] is None for line in curves} == {method == "Δ-STN"}


@pytest.mark.parametrize("name", EXPECTED)
def test_lines_are_the_records_own(name, records):
    runs = records(*ALL[name].needs)
    figure = drawn(name, runs)
    experiment = ALL[name].needs[0]
    for method in EXPECTED[name]:
        mine = [r for r in runs if called(r) == method and r.settings["experiment"] == experiment]
        lam, regret = (np.array([r.history[column] for r in mine]) for column in ("lam", "regret"))
        assert_allclose(lines(figure, "mean")[method][0].get_ydata(), lam.mean(axis=0))
        assert_allclose(
            lines(figure, "median")[method][0].get_ydata(), np.clip(100 * np.median(regret, axis=0), 1e-3, 1e3)
        )


@pytest.mark.parametrize("name", EXPECTED)
def test_dashed_lines_are_the_exact_optima(name, records):
    runs = records(*ALL[name].needs)
    lines = [line for axes in drawn(name, runs).axes for line in axes.lines]
    dashed = {np.asarray(line.get_ydata())[0] for line in lines if line.get_gid() == "exact"}
    assert dashed == {r.facts["exact"]["lam_star"] for r in runs if r.facts["exact"]["where"] == "interior"}


@pytest.mark.parametrize("name", EXPECTED)
def test_nothing_runs_out_of_the_picture(name, records):
    figure = drawn(name, records(*ALL[name].needs))
    figure.dpi = style.RC["savefig.dpi"]
    figure.draw_without_rendering()
    for part in (*figure.legends, *figure.texts):
        box = part.get_window_extent()
        assert figure.bbox.count_contains([box.min, box.max]) == 2


def test_figure_3_has_a_row_for_each_experiment(records):
    figure = drawn("fig03", records(*ALL["fig03"].needs))
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == [
        "weight decay λ",
        "regret (%)",
        "penalty exp(λ)",
        "dropout λ = logit p",
        "regret (%)",
        "drop rate p",
    ]


def test_figure_9_shows_methods_that_coincide(records):
    means = lines(drawn("fig09", records(*ALL["fig09"].needs)), "mean")
    centred, delta = means["Centered STN"][0], means["Δ-STN"][0]
    assert centred.get_ydata().tolist() == delta.get_ydata().tolist()
    assert delta.get_linewidth() > 2 * centred.get_linewidth()
    assert delta.get_alpha() < 0.5
    assert [line.get_label() for line in fig09_legend(records)][:4] == [
        "Δ-STN",
        "STN",
        "Reparam STN",
        "Reparam STN + New Obj.",
    ]


def fig09_legend(records):
    return drawn("fig09", records(*ALL["fig09"].needs)).legends[0].get_lines()


def test_figure_9_enlarges_the_first_updates():
    runs = [record(name, experiment="decoupling", lam=np.arange(40), regret=np.ones(40)) for name in EXPECTED["fig09"]]
    first, whole, *_ = drawn("fig09", runs).axes
    assert first.get_xlim() == (0, 100)
    assert whole.get_xlim() == (0, 195)


def many(count: int) -> list[Record]:
    return [record(name, data=f"set {i:02}", digest=str(i)) for i in range(count) for name in ("STN", "Δ-STN")]


@pytest.mark.parametrize(("count", "places"), [(1, (1, 1)), (3, (1, 3)), (4, (2, 2)), (12, (4, 3))])
def test_data_sets_wrap_into_lines(count, places):
    figure = drawn("fig07", many(count))
    assert titles(figure) == [f"set {i:02} (442 rows)" for i in range(count)]
    tops = [spec for axes in figure.axes if axes.get_title() and (spec := axes.get_subplotspec())]
    assert (len({spec.rowspan.start for spec in tops}), len({spec.colspan.start for spec in tops})) == places


@given(count=st.integers(1, 40))
def test_lines_are_short_even_and_in_order(count):
    lines = wrapped(list(range(count)))
    assert [item for line in lines for item in line] == list(range(count))
    assert max(map(len, lines)) <= COLUMNS
    assert max(map(len, lines)) - len(lines[0]) == 0
    assert len(lines) == -(-count // COLUMNS)


def test_a_persons_own_file_may_be_called_anything():
    odd = "$a_{b$ with a name that is far too long"
    figure = drawn("fig07", [record("STN", data=odd), record("STN", data="数\udcff", digest="1")])
    assert titles(figure) == ["$a_{b$ with a name that… (442 rows)", "数? (442 rows)"]
    assert style.encode(figure, "png")


def test_a_method_that_has_not_been_run_is_missing_and_no_more():
    figure = drawn("fig07", [record("Δ-STN")])
    assert lines(figure, "mean").keys() == {"Δ-STN"}


def test_the_caption_says_the_settings(records):
    caption = " ".join(drawn("fig03", records(*ALL["fig03"].needs)).get_supxlabel().split())
    assert caption.startswith("Figure 3. ")
    assert "2 seeds" in caption
    assert "σ = 1, T_train = 10, T_valid = 1, 20 warm-up iterations" in caption
    assert "α₁ = 0.01, RMSProp at 0.02" in caption
