import numpy as np
import pytest

from figures.beyond.deep import figb6, tableb6
from figures.beyond.deep.deep_variants import best_by, by_setting, label, price, rates
from figures.drawing import style
from tests.figures.made_deep import write

STEPS = {"inner_steps": [0, 30, 60], "outer_steps": [0, 6, 12]}
RATES = {"drop_input": [0.05, 0.01, 0.3], "drop_1": [0.05, 0.2, 0.1], "cutout_holes": [1.0, 0.001, 2.0]}


def made(root, method, valid=(3.0, 1.0, 2.0), seed=0, experiment="mnist-mlp", preset="cpu", **changes):
    return write(root, experiment, method, list(valid), seed, preset, columns=STEPS, hyper=RATES, **changes)


@pytest.mark.parametrize(
    ("method", "changes", "said"),
    [
        ("stn", {}, "STN"),
        ("delta-stn", {"sigma": 0.5}, "Δ-STN; σ from 0.5, learned"),
        ("delta-stn", {"sigma_end": 1.0}, "Δ-STN; σ = 1"),
        ("delta-stn-cv", {"sigma": 0.3, "sigma_end": 0.3}, "Δ-STN CV; σ = 0.3"),
        (
            "delta-stn-cv-normalised",
            {"sigma_end": 0.1, "theta_rate": 10.0},
            "Δ-STN CV, normalised; σ from 1 to 0.1; Θ × 10",
        ),
        ("delta-stn", {"theta_momentum": 0.9, "warm_up": 0}, "Δ-STN; Θ's momentum 0.9; no warm-up"),
        ("delta-stn", {"warm_up": 2}, "Δ-STN; warm-up 2"),
    ],
)
def test_a_run_is_called_by_its_method_and_its_changes(tmp_path, method, changes, said):
    assert label(made(tmp_path, method, **changes)) == said


@pytest.mark.parametrize(("method", "inner"), [("stn", 2), ("delta-stn", 8 / 3), ("delta-stn-cv", 10 / 3)])
def test_the_price_counts_inner_and_outer_steps_in_plain_ones(tmp_path, method, inner):
    np.testing.assert_allclose(price(made(tmp_path, method)), [0, 30 * inner + 8, 60 * inner + 16])


def test_the_best_is_sought_among_rows_that_were_paid_for_and_are_numbers(tmp_path):
    run = made(tmp_path, "stn", [3.0, np.nan, 2.0])
    assert best_by(run, 75.0) == (3.0, 3.5)
    assert best_by(run, 136.0) == (2.0, 2.5)


def test_rates_are_the_drop_rates_alone(tmp_path):
    np.testing.assert_array_equal(rates(made(tmp_path, "stn")).min(axis=1), [0.05, 0.01, 0.1])


def test_runs_are_compared_with_those_of_their_size_alone_and_other_changes_are_left_out(tmp_path):
    here = [made(tmp_path, "stn"), made(tmp_path, "delta-stn", theta_rate=10.0)]
    elsewhere = [
        made(tmp_path, "delta-stn", preset="smoke"),
        made(tmp_path, "delta-stn", start=0.3),
        made(tmp_path, "centered-stn"),
        made(tmp_path, "delta-stn", experiment="cifar-alexnet"),
        made(tmp_path, "stn", preset="paper"),
    ]
    actual = by_setting([*elsewhere, *here], tableb6.NEEDS)
    assert [(item.preset, item.rows, list(labels)) for item, labels in actual.items()] == [
        ("cpu", 5000, ["STN", "Δ-STN; Θ × 10"]),
        ("paper", 0, ["STN"]),
    ]


def test_a_row_is_the_mean_over_seeds_at_the_price_of_delta_stns_run(tmp_path):
    runs = [made(tmp_path, "stn", (3, 2, 1.5), 0), made(tmp_path, "stn", (3, 3, 3), 1)]
    runs += [made(tmp_path, "delta-stn", (4, 2, 2), 0)]
    # Its last row costs 216 plain steps, where Δ-STN's run cost 176.
    runs += [made(tmp_path, "delta-stn-cv", (4, 1, 0.1), seed) for seed in (0, 1, 2)]
    stn, delta, cv = tableb6.rows(tableb6.shown(runs))
    assert (stn.valid, stn.test, stn.below_delta_stn) == (2.25, 2.75, "1 of 1")
    assert (delta.valid, delta.below_stn) == (2.0, "0 of 1")
    assert (cv.valid, cv.seeds, cv.below_stn, cv.below_delta_stn) == (1.0, "0, 1, 2", "2 of 2", "1 of 1")
    assert (cv.least, cv.last) == pytest.approx((0.01, 0.1))
    page = tableb6.files(runs)["tableb6.md"].decode()
    assert "| mnist-mlp | 5000, 150 | Δ-STN CV | 0, 1, 2 | 1.000 (1.500) | 2 of 2 | 1 of 1 | 0.01, 0.1 |" in page


CHANGES = {"sigma": 2.0, "theta_rate": 10.0, "warm_up": 0}


def test_the_figure_has_the_best_so_far_against_price_and_the_lowest_rate_against_epochs(tmp_path):
    runs = [made(tmp_path, "stn", (3, 1, 2)), made(tmp_path, "delta-stn-cv", (3, 2, 1), **CHANGES)]
    runs.append(made(tmp_path, "delta-stn-cv", (3, 2, 1)))
    best, lowest = figb6.draw(figb6.shown(runs)).axes
    lines = {str(line.get_gid()): np.array(line.get_xydata()) for line in (*best.lines, *lowest.lines)}
    changed = f"Δ-STN CV; {figb6.CHANGED}"
    assert {gid.split(": ")[0] for gid in lines} == {"STN", changed}
    np.testing.assert_allclose(lines["STN: mean"], [[0, 3], [68, 1], [136, 1]])
    np.testing.assert_allclose(lines[f"{changed}: mean"], [[0, 3], [108, 2], [216, 1]])
    np.testing.assert_allclose(lines["STN: median"], [[0, 0.05], [1, 0.01], [2, 0.1]])
    assert style.encode(figb6.draw(runs), "svg") == style.encode(figb6.draw(runs), "svg")


def test_the_figure_says_which_line_a_panel_lacks(tmp_path):
    runs = [made(tmp_path, "stn"), made(tmp_path, "delta-stn"), made(tmp_path, "stn", experiment="fmnist-cnn")]
    said = " ".join(figb6.draw(runs).get_supxlabel().split())
    assert said.endswith("1 seed; no runs of “Δ-STN” on FashionMNIST, SimpleCNN.")
