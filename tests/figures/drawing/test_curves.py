"""Figures 5, 6, 15, 16: the lines drawn are hand-computed numbers of records made by hand."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose

from figures.drawing import style
from figures.paper.deep import fig05, fig06, fig15, fig16
from figures.reading.trained import BAYESIAN, RANDOM
from tests.figures.made_deep import write

LOSS = [4.0, 2.0, 3.0, 1.0]


@pytest.fixture
def made(tmp_path):
    """Writes a record below a folder of its own."""
    return lambda *arguments, **changes: write(tmp_path, *arguments, **changes)


def drawn(axes, gid):
    return [np.array(line.get_data(), dtype=float) for line in axes.lines if line.get_gid() == gid]


def caption(figure):
    return " ".join(figure.get_supxlabel().split())


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_figure_5_has_each_seed_and_their_mean(made):
    runs = [made("mnist-mlp", "stn", loss, seed) for seed, loss in enumerate((LOSS, [6.0, 5.0, 2.0, 2.5]))]
    (axes,) = fig05.draw(runs).axes
    assert_allclose(drawn(axes, "STN: seed"), [[[0, 1, 2, 3], [4, 2, 2, 1]], [[0, 1, 2, 3], [6, 5, 2, 2]]])
    assert_allclose(drawn(axes, "STN: mean"), [[[0, 1, 2, 3], [5, 3.5, 2, 1.5]]])


def test_figure_5_has_a_panel_for_each_data_set_with_all_methods(made):
    runs = [made(name, method, LOSS) for name in fig05.NEEDS for method in ("stn", "centered-stn", "delta-stn")]
    runs += [made("mnist-mlp", "random-search", LOSS), made("mnist-mlp", "stn", LOSS, tau=1.0)]
    figure = fig05.draw(runs)
    assert [axes.get_title() for axes in figure.axes] == ["MNIST, MLP", "FashionMNIST, SimpleCNN"]
    for axes in figure.axes:
        means = {line.get_gid(): line for line in axes.lines if str(line.get_gid()).endswith("mean")}
        assert means.keys() == {f"{name}: mean" for name in fig05.METHODS}
        for name in fig05.METHODS:
            assert to_hex(means[f"{name}: mean"].get_color()).upper() == style.LINES[name]["color"]
    assert legend(figure) == list(fig05.METHODS)
    assert "no records of" not in caption(figure)


def test_figure_5_draws_what_is_there_and_says_what_is_not(made):
    figure = fig05.draw([made("fmnist-cnn", "delta-stn", LOSS)])
    assert [axes.get_title() for axes in figure.axes] == ["FashionMNIST, SimpleCNN"]
    assert legend(figure) == ["Δ-STN"]
    assert caption(figure).endswith(
        "fmnist-cnn: preset cpu, not the paper's setting: 5000 rows, width 0.5 of the paper's, 150 epochs; 1 seed, "
        "no records of STN, Centered STN."
    )


def test_the_first_drop_is_out_of_view_and_all_ends_are_in_it(made):
    losses = {"stn": [100.0, 50.0, *np.linspace(3, 2, 18)], "delta-stn": [90.0, 20.0, *np.linspace(2, 1, 18)]}
    (axes,) = fig05.draw([made("mnist-mlp", method, loss) for method, loss in losses.items()]).axes
    low, high = axes.get_ylim()
    assert 0.8 < low < 1.0
    assert 2.5 < high < 4.0


def test_a_loss_that_never_moves_can_be_drawn(made):
    figure = fig05.draw([made("mnist-mlp", "stn", [1.0]), made("mnist-mlp", "delta-stn", [1.0, 1.0])])
    assert style.encode(figure, "png")


def alexnet(made, **changes):
    hyper = {
        "drop_input": [0.05, 0.1, 0.2, 0.4],
        "rotation": 3.0,
        "hue": 0.1,
        "cutout_holes": 1.0,
        "cutout_length": 4.0,
    }
    return [
        made("cifar-alexnet", "delta-stn", LOSS, hyper=hyper, seconds=[5, 25, 45, 65], **changes),
        made("cifar-alexnet", "stn", LOSS, hyper=hyper),
    ]


def search(made, method, losses, seed=0, seconds=None):
    trials = {"trial": [0, 0, 1, 1], "epoch": [0, 1, 0, 1]}
    return made("cifar-alexnet", method, losses, seed, seconds=seconds, columns=trials, hyper={"drop_input": 0.5})


def test_figure_6_has_the_best_so_far_over_all_trials_against_seconds(made):
    runs = [*alexnet(made), search(made, "random-search", [3, 2, 4, 1], seconds=[1, 2, 3, 4])]
    first, *_ = fig06.draw(runs).axes
    assert_allclose(drawn(first, f"{RANDOM}: mean"), [[[1, 2, 3, 4], [3, 2, 2, 1]]])
    assert_allclose(drawn(first, "Δ-STN: mean"), [[[5, 25, 45, 65], [4, 2, 2, 1]]])
    assert {line.get_drawstyle() for line in first.lines} == {"steps-post"}


def test_figure_6_means_over_seeds_that_took_other_times(made):
    runs = [
        search(made, "bayesian-optimisation", [8, 6, 6, 2], 0, [0, 2, 3, 4]),
        search(made, "bayesian-optimisation", [4, 4, 9, 0.5], 1, [1, 2, 3, 5]),
    ]
    (axes,) = fig06.draw(runs).axes
    assert_allclose(drawn(axes, f"{BAYESIAN}: mean"), [[[1, 2, 3, 4, 5], [6, 5, 5, 3, 1.25]]])


def test_figure_6_has_delta_stns_schedules(made):
    figure = fig06.draw(alexnet(made))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["(a) against wall time", "(b) Δ-STN: drop rates", "(c) Δ-STN: augmentation", "(d) Δ-STN: Cutout"]
    (rates,) = (axes for axes in figure.axes if axes.get_title() == titles[1])
    assert_allclose(drawn(rates, "drop_input: mean"), [[[0, 1, 2, 3], [0.05, 0.1, 0.2, 0.4]]])
    assert "Times on cpu" in caption(figure)
    assert f"no records of {RANDOM}, {BAYESIAN}" in caption(figure)


def test_figure_6_says_where_times_do_not_compare(made):
    runs = [*alexnet(made, facts={"device": "cuda"}), search(made, "random-search", LOSS)]
    assert "Times are of different devices and do not compare: cpu, cuda." in caption(fig06.draw(runs))


def test_figure_15_has_means_and_ranges_of_the_best_loss_at_each_scale(made):
    losses = {("stn", 0.5, 0): 1.0, ("stn", 0.5, 1): 2.0, ("stn", 2.0, 0): 4.0, ("delta-stn", 0.5, 0): 0.5}
    runs = [
        made("sensitivity", method, [9.0, loss, 8.0], seed, hyper={"drop_input": 0.1}, sigma=sigma)
        for (method, sigma, seed), loss in losses.items()
    ]
    # A run that changes nothing is at the experiment's own scale; other changes are another study.
    runs += [made("sensitivity", "stn", [3.0], hyper={"drop_input": 0.1})]
    runs += [made("sensitivity", "stn", [0.1], hyper={"drop_input": 0.1}, T_train=1, T_valid=1)]
    runs += [made("sensitivity", "stn", [0.1], hyper={"drop_input": 0.1}, sigma=0.5, sigma_end=0.1)]
    (axes,) = fig15.draw(runs).axes
    assert_allclose(drawn(axes, "STN"), [[[0.5, 1, 2], [1.5, 3, 4]]])
    assert_allclose(drawn(axes, "Δ-STN"), [[[0.5], [0.5]]])
    assert_allclose(
        [np.asarray(path.vertices) for path in axes.collections[0].get_paths()],
        [[[x, a], [x, b]] for x, a, b in ((0.5, 1, 2), (1, 3, 3), (2, 4, 4))],
    )
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.5", "1", "2"]


def test_figure_15_has_alexnets_runs_at_a_sigma_that_is_held(made):
    rate = {"hyper": {"drop_input": 0.1}}
    runs = [made("cifar-alexnet", "stn", [loss], **rate, sigma=s, sigma_end=s) for s, loss in ((0.5, 3.0), (2.0, 4.0))]
    # Learned, from its own scale or from another, or falling: no point of the figure.
    runs += [made("cifar-alexnet", "stn", [0.1], **rate, **changes) for changes in ({}, {"sigma": 2.0})]
    runs += [made("cifar-alexnet", "stn", [0.1], **rate, sigma=2.0, sigma_end=0.5)]
    figure = fig15.draw([*runs, made("sensitivity", "stn", [1.0], **rate)])
    left, right = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["(a) SimpleCNN", "(b) AlexNet"]
    assert_allclose(drawn(left, "STN"), [[[1], [1]]])
    assert_allclose(drawn(right, "STN"), [[[0.5, 2], [3, 4]]])
    assert "no records of Δ-STN" in caption(figure)


def test_figure_16_has_a_line_for_each_number_of_outer_steps(made):
    losses = {(1, 1): 3.0, (10, 1): 5.0, (5, 5): 4.0}
    runs = [
        made("sensitivity", "delta-stn", [9.0, loss], hyper={"drop_input": 0.1}, T_train=a, T_valid=b)
        for (a, b), loss in losses.items()
    ]
    runs += [made("sensitivity", "delta-stn", [2.0], hyper={"drop_input": 0.1})]  # 5.2's 5 and 1
    runs += [made("sensitivity", "delta-stn", [0.1], hyper={"drop_input": 0.1}, sigma=2.0)]
    figure = fig16.draw(runs)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "5", "10"]
    assert_allclose(drawn(axes, "T_valid = 1"), [[[0, 1, 2], [3, 2, 5]]])
    assert_allclose(drawn(axes, "T_valid = 5"), [[[1], [4]]])
    assert len(legend(figure)) == 2


def test_a_run_made_twice_counts_once(made):
    same = [made("sensitivity", "delta-stn", [2.0], hyper={"drop_input": 0.1}, **item) for item in ({}, {"sigma": 1.0})]
    assert fig15.by_scale(same) == {1.0: [2.0]}
