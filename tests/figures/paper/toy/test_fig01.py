"""The curves are checked against the loss's own gradient, not against the closed forms that drew them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from figures.drawing import style
from figures.paper.toy import fig01
from toy.data.datasets import load
from toy.data.split import split
from toy.paper.experiments import one_feature


@pytest.fixture
def drawn(records):
    """The picture's two panels, the record that it shows and its problem."""
    runs = records("one-feature")
    mine = [item for item in runs if item.settings["method"]["name"] == "Δ-STN"]
    run = max(mine, key=lambda item: abs(item.history["hypergradient_exact"][-1]))
    problem = one_feature(split(load("diabetes"), run.settings["seed"]))
    return fig01.draw(runs).axes, run, problem


def line(axes, gid):
    (actual,) = (item for item in axes.lines if item.get_gid() == gid)
    return np.array(actual.get_data_3d())


def column(values):
    return np.asarray(values)[:, None]


def test_the_dashed_curve_is_where_the_training_gradient_vanishes(drawn):
    (left, right), _, problem = drawn
    for axes in (left, right):
        lam, w, _ = line(axes, "best response")
        assert_allclose(problem.grad_w(column(lam), column(w)), 0, atol=1e-12)


def test_both_curves_lie_on_their_surfaces(drawn):
    panels, _, problem = drawn
    for axes, loss in zip(panels, (problem.train_loss, problem.valid_loss), strict=True):
        for gid in ("best response", "Δ-STN", "star"):
            lam, w, height = line(axes, gid)
            assert_allclose(height, np.minimum(loss(column(lam), column(w)), fig01.CEILING))


def test_the_learned_line_goes_through_the_star_with_slope_theta(drawn):
    panels, run, _ = drawn
    lam0, w0, Theta = (run.history[name][-1] for name in ("lam", "w_1", "theta_1"))
    for axes in panels:
        lam, w, _ = line(axes, "Δ-STN")
        assert_allclose(np.diff(w) / np.diff(lam), Theta)
        assert_allclose(np.interp(lam0, lam, w), w0)
        assert_allclose(line(axes, "star")[:2, 0], [lam0, w0])
        assert_allclose([lam0 - lam[0], lam[-1] - lam0], 2 * run.settings["sigma"])


def test_the_triangle_rises_by_the_learned_response_gradient(drawn):
    (_, right), run, problem = drawn
    lam, w, height = line(right, "slope")
    rise = (height[2] - height[1]) / (lam[1] - lam[0])
    lam0, w0, Theta = (run.history[name][-1:] for name in ("lam", "w_1", "theta_1"))
    step = 1e-5
    ahead, behind = (problem.valid_loss(lam0, w0 + side * step * Theta) for side in (1, -1))
    assert_allclose(rise, (ahead - behind) / (2 * step), rtol=1e-6)
    assert_allclose((w[1] - w[0]) / (lam[1] - lam[0]), Theta[0])
    assert height[1] == height[0]


def test_only_the_right_panel_has_a_slope(drawn):
    (left, _), _, _ = drawn
    assert "slope" not in {item.get_gid() for item in left.lines}


def test_colours_and_caption(drawn, records):
    (left, _), run, _ = drawn
    (actual,) = (item for item in left.lines if item.get_gid() == "Δ-STN")
    assert actual.get_color() == style.LINES["Δ-STN"]["color"]
    caption = fig01.draw(records("one-feature")).get_supxlabel()
    assert f"slope, {run.settings['seed']};" in " ".join(caption.split())
