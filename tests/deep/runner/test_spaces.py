"""What searches search is H.2's and H.3's, and what they draw is uniform, a grid, or Optuna's improvement."""

from collections.abc import Mapping, Sequence

import numpy as np
import optuna
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from scipy.stats import kstest

from deep.hyper.declared import Hyperparameter
from deep.paper.experiments import EXPERIMENTS
from deep.runner.spaces import BAYES, GRID, RANDOM, SEARCHES, Space, grid, propose, space
from reference.console.command import UserError
from tests.deep.runner.planted import HOLES, RATE, bowl

SPACE = space("planted", [RATE, HOLES])
seeds = st.integers(0, 2**31 - 1)

Scored = Sequence[tuple[Mapping[str, float], float | None]]
"""Values and scores of the trials before; None where a worker is at it."""

H2_AUGMENTATION = {
    "brightness": (0, 1), "contrast": (0, 1), "saturation": (0, 1), "hue": (0, 0.5), "rotation": (0, 45),
    "shear": (0, 45), "scale": (0, 0.5), "translation": (0, 0.5), "cutout_holes": (0, 4), "cutout_length": (0, 24),
}  # fmt: skip


def proposal(method: str, seed: int, number: int, before: Scored = (), ranges: Space = SPACE) -> dict[str, float]:
    """The values of a trial in a study that holds these."""
    study = optuna.create_study()
    for values, score in before:
        state = TrialState.RUNNING if score is None else TrialState.COMPLETE
        study.add_trial(create_trial(params=dict(values), distributions=dict(ranges), value=score, state=state))
    return propose(method, ranges, seed, number, study.ask())


def scored(points: Sequence[Mapping[str, float]]) -> Scored:
    return [(values, bowl(**values)) for values in points]


@pytest.mark.parametrize(
    ("name", "rates", "highest", "others"),
    [
        ("mnist-mlp", 3, 0.85, {}),
        ("fmnist-cnn", 4, 0.85, {name: H2_AUGMENTATION[name] for name in ("cutout_holes", "cutout_length")}),
        ("cifar-alexnet", 8, 0.85, H2_AUGMENTATION),
        ("ptb-lstm", 5, 0.75, {"ar": (0, 4), "tar": (0, 4)}),
    ],
)
def test_the_spaces_are_those_of_h2_and_h3(name, rates, highest, others):
    experiment = EXPERIMENTS[name]
    problem = experiment.build(experiment.presets["smoke"][0], None, 0, None, torch.device("cpu"))
    ranges = space(name, problem.hyper.declared)
    bounds = {key: (interval.low, interval.high) for key, interval in ranges.items()}
    assert {key: bounds.pop(key) for key in others} == others
    assert list(bounds.values()) == [(0.0, highest)] * rates
    whole = [key for key, interval in ranges.items() if isinstance(interval, IntDistribution)]
    assert whole == [key for key in others if "cutout" in key]


def test_a_space_needs_bounds():
    with pytest.raises(UserError, match="'decay' has no two bounds"):
        space("planted", [Hyperparameter("decay", start=0.1)])


@given(seeds)
@settings(max_examples=3)
def test_random_search_draws_uniformly_and_independently(seed):
    draws = [proposal(RANDOM, seed, number) for number in range(400)]
    rates, holes = (np.array([values[name] for values in draws]) for name in SPACE)
    assert kstest(rates / 0.85, "uniform").pvalue > 1e-6
    assert set(holes) == {0, 1, 2, 3, 4}
    # six standard errors of a multinomial count, and of a correlation
    assert np.abs(np.bincount(holes.astype(int)) - 80).max() < 6 * 8
    for first, second in ((rates, holes), (rates[1:], rates[:-1]), (holes[1:], holes[:-1])):
        assert abs(np.corrcoef(first, second)[0, 1]) < 6 / 20


@pytest.mark.parametrize("method", SEARCHES)
def test_every_value_is_one_that_the_experiment_takes(method):
    for number in range(20):
        values = proposal(method, 1, number)
        assert 0 <= values["rate"] <= 0.85
        assert values["holes"] in range(5)


@given(seeds, st.integers(0, 50))
def test_random_search_depends_on_seed_and_number_alone(seed, number):
    values = proposal(RANDOM, seed, number)
    assert values == proposal(RANDOM, seed, number, scored([{"rate": 0.5, "holes": 1}]))
    assert values != proposal(RANDOM, seed, number + 1)
    assert values != proposal(RANDOM, seed + 1, number)


def best_of(method: str, seed: int, count: int) -> float:
    points: list[dict[str, float]] = []
    for number in range(count):
        points.append(proposal(method, seed, number, scored(points)))
    return min(bowl(**values) for values in points)


def test_bayesian_optimisation_reaches_a_lower_loss_than_random_search_in_as_many_trials():
    seeds = range(3)
    assert np.median([best_of(BAYES, seed, 8) for seed in seeds]) < 0.2 * np.median(
        [best_of(RANDOM, seed, 8) for seed in seeds]
    )


def test_bayesian_optimisation_depends_on_the_scores_and_on_nothing_that_was_drawn_before():
    before = scored([proposal(RANDOM, 0, k) for k in range(11)])
    values = proposal(BAYES, 0, 11, before)
    proposal(BAYES, 5, 3, before)
    assert values == proposal(BAYES, 0, 11, before)
    mirrored = [(point, bowl(0.85 - point["rate"], point["holes"])) for point, _ in before]
    assert values != proposal(BAYES, 0, 11, mirrored)
    assert values != proposal(BAYES, 0, 12, [*before, (values, None)])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bayesian_optimisation_bears_a_trial_that_diverged():
    points = [proposal(RANDOM, 0, k) for k in range(11)]
    values = proposal(BAYES, 0, 11, [(points[0], float("inf")), *scored(points[1:])])
    assert 0 <= values["rate"] <= 0.85


@given(seeds)
@settings(max_examples=5)
def test_bayesian_optimisation_models_from_the_third_trial_on(seed):
    points: list[dict[str, float]] = []
    for number in range(3):
        mirrored = [(values, -bowl(**values)) for values in points]
        values, other = (proposal(BAYES, seed, number, before) for before in (scored(points), mirrored))
        assert (values == other) == (number < 2)
        points.append(values)
    waiting = [*scored(points[:1]), (points[1], None)]
    assert proposal(BAYES, seed, 2, waiting) == proposal(BAYES, seed, 2)


@given(seeds, st.integers(0, 50))
def test_bayesian_optimisation_starts_with_draws_of_its_own(seed, number):
    assert proposal(BAYES, seed, number)["rate"] != proposal(RANDOM, seed, number)["rate"]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_a_grid_has_every_combination_once(highs):
    ranges: Space = {f"x{k}": IntDistribution(0, high) for k, high in enumerate(highs)}
    points = [tuple(values.values()) for values in grid(ranges)]
    assert len(points) == len(set(points)) == np.prod(np.array(highs) + 1)
    assert all(value in range(high + 1) for point in points for value, high in zip(point, highs, strict=True))
    assert [proposal(GRID, 0, number, ranges=ranges) for number in range(len(points))] == grid(ranges)


def test_a_grid_of_one_drop_rate_has_ten_points_from_end_to_end():
    points = [values["drop_input"] for values in grid({"drop_input": FloatDistribution(0.0, 0.85)})]
    np.testing.assert_allclose(np.diff(points), 0.85 / 9, rtol=1e-12)
    assert (points[0], points[-1]) == (0, 0.85)


def test_a_grid_of_too_many_trials_is_refused():
    with pytest.raises(UserError, match="has 10000 trials, more than 1000"):
        grid({name: FloatDistribution(0.0, 1.0) for name in "abcd"})
