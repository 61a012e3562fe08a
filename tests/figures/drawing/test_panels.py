import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from scipy.special import expit

from figures.drawing import style
from figures.drawing.panels import CEILING, FLOOR, add_value_axis, draw_lam, draw_regret, remarks
from tests.figures.made import NO_PENALTY, record
from toy.paper.experiments import EXPERIMENTS

LINES = {name: {"linewidth": 1.0, **style.LINES[name]} for name in ("STN", "Δ-STN")}
SEEDS = [
    record("STN", 0, lam=[0, 1, 2], regret=[0.04, 0.02, 0.01]),
    record("STN", 1, lam=[0, 3, 7], regret=[0.01, 0.01, 0.0], exact=NO_PENALTY),
    record(
        "STN",
        2,
        lam=[0, 8],
        regret=[0.3, 0.2],
        exact={"lam_star": 4.0, "where": "interior"},
        outcome="diverged by update 10",
    ),
]


@pytest.fixture
def axes():
    return Figure().add_subplot()


def lines(axes, gid):
    return [line for line in axes.lines if line.get_gid() == gid]


def test_the_dashed_lines_are_each_seeds_exact_optimum(axes):
    draw_lam(axes, SEEDS, LINES)
    exact = lines(axes, "exact")
    assert [line.get_ydata()[0] for line in exact] == [1.5, 4.0]
    assert {line.get_color() for line in exact} == {"black"}


def test_an_optimum_at_the_end_is_a_remark_and_does_not_stretch_the_axis(axes):
    draw_lam(axes, SEEDS, LINES)
    assert -1 < axes.get_ylim()[0] < 0
    assert remarks(SEEDS).splitlines()[0] == "λ* = −15 (no penalty) in 1 of 3 splits"
    assert remarks([record("STN", experiment="dropout", exact=NO_PENALTY)]) == "λ* = −15 (no dropout) in 1 of 1 splits"


@pytest.mark.parametrize(
    ("where", "lam_star", "said"),
    [("upper end", 15.0, "λ* = 15 (the largest penalty)"), ("flat", 0.0, "λ* = any (any penalty)")],
)
def test_other_ends(where, lam_star, said):
    assert remarks([record("STN", exact={"lam_star": lam_star, "where": where})]) == f"{said} in 1 of 1 splits"


def test_nothing_to_remark():
    assert remarks([record("STN"), record("Δ-STN")]) == ""


def test_thin_lines_are_the_seeds_and_the_thick_one_their_mean(axes):
    draw_lam(axes, SEEDS, LINES)
    drawn = [line.get_ydata() for line in lines(axes, "STN: seeds")]
    assert_allclose(drawn, [[0, 1, 2], [0, 3, 7], [0, 8, np.nan]])
    (mean,) = lines(axes, "STN: mean")
    assert_allclose(mean.get_ydata(), [0, 4, 4.5])
    assert_allclose(mean.get_xdata(), [0, 5, 10])
    colours = {to_hex(line.get_color()).upper() for line in [mean, *lines(axes, "STN: seeds")]}
    assert colours == {style.LINES["STN"]["color"]}


def test_only_the_first_updates(axes):
    draw_lam(axes, SEEDS, LINES, last=5)
    (mean,) = lines(axes, "STN: mean")
    assert mean.get_xdata().tolist() == [0, 5]
    assert axes.get_xlim() == (0, 5)


def test_divergence_is_drawn_as_far_as_it_goes_and_counted(axes):
    wild = [record("STN", 0, lam=[0, 1e3, -1e300], outcome="diverged by update 15"), record("STN", 1)]
    draw_lam(axes, wild, LINES)
    assert axes.get_ylim() == (-15.0, 15.0)
    assert remarks(wild) == "STN: 1 of 2 diverged"


def test_every_run_of_every_method_diverged_at_once(axes):
    lost = [record("STN", lam=[], regret=[], outcome="diverged by update 0", exact=NO_PENALTY)]
    draw_lam(axes, lost, LINES)
    draw_regret(axes, lost, LINES)
    assert not axes.lines
    assert remarks(lost).splitlines()[1] == "STN: 1 of 1 diverged"


def test_regret_is_median_and_range_in_per_cent(axes):
    draw_regret(axes, SEEDS, LINES)
    (median,) = lines(axes, "STN: median")
    assert_allclose(median.get_ydata(), [4, 2, 1])
    corners = axes.collections[0].get_paths()[0].vertices
    assert_allclose([corners[:, 1].min(), corners[:, 1].max()], [FLOOR, CEILING])
    assert axes.get_yscale() == "log"


def test_after_divergence_the_regret_is_infinite(axes):
    draw_regret(axes, [SEEDS[2], record("STN", 1)], {"STN": LINES["STN"]})
    (median,) = lines(axes, "STN: median")
    assert median.get_ydata()[-1] == pytest.approx((CEILING + 1) / 2)


@pytest.mark.parametrize(("experiment", "value"), [("ridge", np.exp), ("dropout", expit)])
@pytest.mark.parametrize("limits", [(-3.0, 5.0), (-14.0, 1.0), (0.2, 0.3)])
def test_the_right_axis_tells_the_penalty_or_rate(axes, experiment, value, limits):
    axes.set_ylim(limits)
    add_value_axis(axes, EXPERIMENTS[experiment].s, "s(λ)")
    twin = axes.figure.axes[-1]
    assert twin.get_ylim() == limits
    for tick, text in zip(twin.get_yticks(), twin.get_yticklabels(), strict=True):
        shown = text.get_text().strip("$").replace("10^{", "1e").strip("}")
        assert_allclose(value(tick), float(shown), rtol=1e-12)
        assert limits[0] <= tick <= limits[1]
    assert len(twin.get_yticks()) <= 5


def test_a_lambda_that_never_moves_has_an_axis(axes):
    draw_lam(axes, [record("STN", lam=[1, 1, 1], exact=NO_PENALTY)], LINES)
    low, high = axes.get_ylim()
    assert low < 1 < high
