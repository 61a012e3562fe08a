"""Figures 10 to 14: schedules."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from figures.drawing import style
from figures.drawing.schedules import label, of_kind
from figures.paper.deep import fig14
from figures.paper.series import SCHEDULES
from tests.figures.made_deep import write

LOSS = [4.0, 2.0, 1.0]
AUGMENTATION = ("brightness", "contrast", "saturation", "hue", "rotation", "shear", "scale", "translation")
CUTOUT = ("cutout_holes", "cutout_length")
RATES = {
    "mnist-mlp": ("drop_input", "drop_1", "drop_2"),
    "fmnist-cnn": ("drop_input", "drop_conv1", "drop_conv2", "drop_fc"),
    "cifar-vgg16": ("drop_input", *(f"drop_conv{i}" for i in range(1, 14)), "drop_fc1", "drop_fc2"),
    "cifar-resnet18": ("drop_input", *(f"drop_block{i}" for i in range(1, 9))),
    "ptb-lstm": ("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout", "dropconnect"),
}
OTHERS = {
    "fmnist-cnn": CUTOUT,
    "cifar-vgg16": (*AUGMENTATION, *CUTOUT),
    "cifar-resnet18": (*AUGMENTATION, *CUTOUT),
    "ptb-lstm": ("ar", "tar"),
}


@pytest.fixture
def made(tmp_path):
    """Writes a run of Δ-STN whose k-th hyperparameter goes (seed + 1) (k + 1) times 0.01, 0.02, 0.03."""

    def make(experiment, seed=0):
        names = (*RATES[experiment], *OTHERS.get(experiment, ()))
        hyper = {name: (seed + 1) * (k + 1) * np.array([0.01, 0.02, 0.03]) for k, name in enumerate(names)}
        return write(tmp_path, experiment, "delta-stn", LOSS, seed, hyper=hyper)

    return make


def means(figure):
    """Hyperparameter -> its mean lines, over all panels and their right axes."""
    actual = {}
    for axes in figure.axes:
        for line in axes.lines:
            name, _, kind = str(line.get_gid()).partition(": ")
            if kind == "mean":
                actual.setdefault(name, []).append(line)
    return actual


@pytest.mark.parametrize("figure", SCHEDULES.values(), ids=SCHEDULES)
def test_every_hyperparameter_is_drawn_and_is_the_records_own(figure, made):
    runs = [made(experiment, seed) for experiment in figure.needs for seed in range(2)]
    actual = means(figure.draw(runs))
    for experiment in figure.needs:
        group = [run for run in runs if run.settings["experiment"] == experiment]
        for name in group[0].facts["hyperparameters"]:
            expected = np.mean([run.history[name] for run in group], axis=0)
            assert any(np.allclose(line.get_ydata(), expected) for line in actual[name])
    assert sum(map(len, actual.values())) == sum(
        len(RATES[experiment]) + len(OTHERS.get(experiment, ())) for experiment in figure.needs
    )


@pytest.mark.parametrize("figure", SCHEDULES.values(), ids=SCHEDULES)
def test_no_legend_runs_into_another_or_out_of_the_picture(figure, made):
    figure = figure.draw([made(experiment) for experiment in figure.needs])
    figure.dpi = style.RC["savefig.dpi"]
    figure.draw_without_rendering()
    boxes = [axes.get_legend().get_window_extent() for axes in figure.axes if axes.get_legend()]
    boxes += [text.get_window_extent() for text in figure.texts]
    for i, box in enumerate(boxes):
        assert figure.bbox.count_contains([box.min, box.max]) == 2
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_a_schedule_that_ends_early_keeps_its_last_value_in_the_mean(made, tmp_path):
    short = write(tmp_path, "mnist-mlp", "delta-stn", [4.0, 2.0], 1, hyper=dict.fromkeys(RATES["mnist-mlp"], 0.5))
    (line,) = means(SCHEDULES["fig10"].draw([made("mnist-mlp"), short]))["drop_input"]
    assert_allclose(line.get_ydata(), [0.255, 0.26, 0.265])


def test_panels_without_records_are_left_out(made):
    assert [axes.get_title() for axes in SCHEDULES["fig10"].draw([made("mnist-mlp")]).axes] == ["(a) MNIST: drop rates"]


def test_degrees_and_pixels_are_on_the_right(made):
    right = {axes.get_ylabel(): axes for axes in SCHEDULES["fig11"].draw([made("cifar-vgg16")]).axes}
    assert {line.get_gid() for line in right["degrees"].lines if ": mean" in str(line.get_gid())} == {
        "rotation: mean",
        "shear: mean",
    }
    assert {line.get_gid() for line in right["pixels"].lines if ": mean" in str(line.get_gid())} == {
        "cutout_length: mean"
    }


def test_kinds_part_all_hyperparameters_of_every_experiment():
    for experiment, rates in RATES.items():
        others = OTHERS.get(experiment, ())
        names = (*rates, *others)
        assert of_kind(names, "rates") == list(rates)
        parts = [name for kind in ("rates", "strengths", "cutout") for name in of_kind(names, kind)]
        assert sorted(parts) == sorted(names)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("drop_conv1", "conv1"),
        ("drop_2", "layer 2"),
        ("hidden_dropout", "hidden"),
        ("dropconnect", "dropconnect"),
        ("tar", "TAR"),
        ("shear", "shear (right)"),
        ("cutout_length", "length (right)"),
    ],
)
def test_labels(name, shown):
    assert label(name) == shown


def test_hues_are_no_methods_colours():
    assert not {line["color"] for line in style.LINES.values()} & set(style.HUES)


def dropout(tmp_path, method, rates, seed=0, **changes):
    return write(tmp_path, "mnist-dropout-schedule", method, LOSS, seed, hyper={"drop_input": rates}, **changes)


@pytest.fixture
def started(tmp_path):
    """Δ-STN from two starts, one of them with two seeds; STN from one; a grid search; a fixed run, to be left out."""
    trials = {"trial": [0, 1, 2], "epoch": [0, 0, 0]}
    grid = {"drop_input": [0.2, 0.4, 0.6]}
    return [
        dropout(tmp_path, "delta-stn", [0.05, 0.2, 0.4]),
        dropout(tmp_path, "delta-stn", [0.05, 0.4, 0.6], 1),
        dropout(tmp_path, "delta-stn", [0.7, 0.6, 0.55], start=0.7),
        dropout(tmp_path, "stn", [0.7, 0.7, 0.69], start=0.7),
        write(tmp_path, "mnist-dropout-schedule", "grid-search", [0.3, 0.1, 0.2], hyper=grid, columns=trials),
        dropout(tmp_path, "fixed", 0.5, values={"drop_input": 0.5}),
    ]


def test_figure_14_has_a_line_for_each_start(started):
    delta, stn = fig14.draw(started).axes
    assert (delta.get_title(), stn.get_title()) == ("(a) Δ-STN", "(b) STN")
    lines = {line.get_gid(): np.asarray(line.get_ydata(), dtype=float) for line in delta.lines}
    assert_allclose(lines["0.05: mean"], [0.05, 0.3, 0.5])
    assert_allclose(lines["0.7: mean"], [0.7, 0.6, 0.55])
    assert [line.get_gid() for line in stn.lines] == ["0.7: seed", "0.7: mean", "grid search"]


def test_figure_14_has_the_best_rate_of_grid_search(started):
    for axes in fig14.draw(started).axes:
        (line,) = (line for line in axes.lines if line.get_gid() == "grid search")
        assert line.get_ydata() == [0.4, 0.4]


def test_figure_14_says_where_the_starts_end(started):
    caption = " ".join(fig14.draw(started).get_supxlabel().split())
    assert "Δ-STN ends at 0.50 to 0.55 from 2 starts; STN ends at 0.69." in caption


def test_figure_14_without_runs_of_either_method_has_nothing_to_show(started):
    assert fig14.shown(started[-2:]) == []
