"""The tangent is checked against differences of minimisers that a solver finds, not against the closed forms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from figures.drawing import style
from figures.paper.toy import fig02
from toy.data.datasets import load
from toy.data.split import split
from toy.paper.experiments import saturating

pytestmark = pytest.mark.usefixtures("no_types_checked")

LAM0 = 0.2


def solved(problem, lam):
    """argmin_w L_T(λ, w) by BFGS."""
    point = np.array([lam])
    answer = minimize(
        lambda w: float(problem.train_loss(point, w)),
        np.ones(2),
        jac=lambda w: problem.grad_w(point, w),
        options={"gtol": 1e-12},
    )
    return answer.x


@pytest.fixture(scope="module")
def problem():
    """Seed 0's."""
    return saturating(split(load("diabetes"), 0))


@pytest.fixture
def drawn(records):
    """The picture."""
    return fig02.draw(records("nonlinear"))


def line(axes, gid):
    (actual,) = (item for item in axes.lines if item.get_gid() == gid)
    return np.array(actual.get_data(), dtype=float)


def slope(points):
    x, y = points
    return (y[-1] - y[0]) / (x[-1] - x[0])


def test_the_tangent_is_that_of_the_true_best_response(drawn, problem):
    step = 1e-3
    jacobian = (solved(problem, LAM0 + step) - solved(problem, LAM0 - step)) / (2 * step)
    _, *planes = drawn.axes
    for i, axes in enumerate(planes):
        lam, w = line(axes, "tangent")
        assert_allclose(slope((lam, w)), jacobian[i], rtol=1e-4)
        assert_allclose(np.interp(LAM0, lam, w), solved(problem, LAM0)[i], rtol=1e-6)


def test_the_dashed_curve_is_the_true_best_response(drawn, problem):
    weights, *planes = drawn.axes
    places = [20, 60, 120]
    exact = np.array([solved(problem, lam) for lam in line(planes[0], "best response")[0][places]])
    for i, axes in enumerate(planes):
        assert_allclose(line(axes, "best response")[1][places], exact[:, i], rtol=1e-6)
    assert_allclose(line(weights, "best response")[:, places], exact.T, rtol=1e-6)


@pytest.mark.parametrize("method", ["STN", "Δ-STN"])
def test_a_methods_lines_are_its_own_weights_and_theta(method, drawn, records):
    (run,) = (
        item
        for item in records("nonlinear")
        if item.settings["method"]["name"] == method and item.settings["seed"] == 0
    )
    w, Theta = (np.array([run.history[f"{name}_{i}"][-1] for i in (1, 2)]) for name in ("w", "theta"))
    weights, *planes = drawn.axes
    for i, axes in enumerate(planes):
        lam, drawn_w = line(axes, method)
        assert_allclose(slope((lam, drawn_w)), Theta[i])
        assert_allclose(np.interp(LAM0, lam, drawn_w), w[i])
    assert_allclose(line(weights, method).T, [w - 0.2 * Theta, w + 0.2 * Theta])


def test_colours(drawn):
    for axes in drawn.axes:
        for method in fig02.METHODS:
            (actual,) = (item for item in axes.lines if item.get_gid() == method)
            assert actual.get_color() == style.LINES[method]["color"]


def test_the_star_is_the_true_best_response(drawn, problem):
    exact = solved(problem, LAM0)
    stars = [item.get_xydata()[0] for axes in drawn.axes for item in axes.lines if item.get_marker() == "*"]
    assert_allclose(stars, [exact, (LAM0, exact[0]), (LAM0, exact[1])], rtol=1e-6)


def heights(contours, loss):
    """What a loss is at ten places of each contour, beside the contour's level."""
    for level, path in zip(contours.levels, contours.get_paths(), strict=True):
        for x, y in path.vertices[:: max(1, len(path.vertices) // 10)]:
            yield level, loss(x, y)


def test_contours_are_of_the_training_loss(drawn, problem):
    least = float(problem.train_loss(np.array([LAM0]), solved(problem, LAM0)))
    contours = drawn.axes[0].collections[1]
    pairs = heights(contours, lambda x, y: float(problem.train_loss(np.array([LAM0]), np.array([x, y]))) - least)
    assert_allclose(*np.transpose(list(pairs)), atol=0.01 * contours.levels[-1])


@pytest.mark.parametrize("i", [0, 1])
def test_contours_of_a_plane_are_of_the_excess_with_the_other_weight_at_its_best(i, drawn, problem):
    def excess(lam, w):
        best = solved(problem, lam)
        weights = np.where(np.arange(2) == i, w, best)
        point = np.array([lam])
        return float(problem.train_loss(point, weights) - problem.train_loss(point, best))

    contours = drawn.axes[i + 1].collections[1]
    pairs = heights(contours, excess)
    assert_allclose(*np.transpose(list(pairs)), atol=0.01 * contours.levels[-1])


def test_errors_of_theta_are_in_the_legend(drawn, records, problem):
    step = 1e-3
    jacobian = (solved(problem, LAM0 + step) - solved(problem, LAM0 - step)) / (2 * step)
    texts = [text.get_text() for text in drawn.legends[0].get_texts()]
    for method in fig02.METHODS:
        run = next(item for item in records("nonlinear") if item.settings["method"]["name"] == method)
        Theta = np.array([run.history["theta_1"][-1], run.history["theta_2"][-1]])
        error = 100 * np.linalg.norm(Theta - jacobian) / np.linalg.norm(jacobian)
        assert f"{method}: Θ {error:.1f} % off" in texts


def test_delta_stn_is_closer(records):
    group = records("nonlinear")
    for seed in (0, 1):
        runs = {item.settings["method"]["name"]: item for item in group if item.settings["seed"] == seed}
        problem = saturating(split(load("diabetes"), seed))
        stn, delta = (fig02.error(problem, fig02.learned(runs[name])[1]) for name in fig02.METHODS)
        assert delta < 0.5 * stn


def test_the_caption_has_the_medians_of_all_seeds(drawn):
    assert "median of 2 seeds" in " ".join(drawn.get_supxlabel().split())
