"""What the baselines of H.2 and H.3 search, and the values of their next trial.

    method                 trial k's values
    random-search          uniform in the space
    grid-search            the k-th point of a product of lists
    bayesian-optimisation  where a Gaussian process on the scores so far expects most improvement, once there are two
                           scores; uniform before, and not random search's draws

Two scores are what Spearmint, which the paper took, waits for; Optuna's ten would make a short search a random one.
"""

import math
from collections.abc import Iterable
from itertools import product

import numpy as np
import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import GPSampler, RandomSampler

from deep.hyper.declared import Hyperparameter
from reference.console.command import UserError

RANDOM, GRID, BAYES = "random-search", "grid-search", "bayesian-optimisation"
SEARCHES = (RANDOM, GRID, BAYES)

STARTS = 2
"""Scores that Bayesian optimisation waits for."""
DROP_RATE = 0.95
"""The upper bound by which a drop rate is known; of H.2's and H.3's other hyperparameters none has it."""
LARGEST_RATE, LARGEST_RATE_OF = 0.85, {"ptb-lstm": 0.75}
"""The baselines' upper bound of drop rates, by experiment where it differs; all other bounds are the tuners'."""
POINTS, MOST_POINTS = 10, 1000
"""Of a grid: for each hyperparameter, and trials in all."""

Space = dict[str, FloatDistribution | IntDistribution]


def space(experiment: str, declared: Iterable[Hyperparameter]) -> Space:
    """Return the baselines' search space.

    Raises:
        UserError: a hyperparameter without bounds.

    Example:
        >>> space("mnist-mlp", [Hyperparameter("drop_1", start=0.05, high=0.95)])["drop_1"].high
        0.85
    """
    ranges: Space = {}
    for hyperparameter in declared:
        name, low, high = hyperparameter.name, hyperparameter.low, hyperparameter.high
        if not math.isfinite(high - low):
            raise UserError(f"hyperparameter {name!r} has no two bounds to search between; use the method 'fixed'")
        if (low, high) == (0.0, DROP_RATE):
            high = LARGEST_RATE_OF.get(experiment, LARGEST_RATE)
        whole = hyperparameter.discrete
        ranges[name] = IntDistribution(math.ceil(low), math.floor(high)) if whole else FloatDistribution(low, high)
    return ranges


def grid(ranges: Space) -> list[dict[str, float]]:
    """List all points of the grid: evenly spaced in each range, whole numbers once each.

    Raises:
        UserError: more of them than MOST_POINTS.
    """
    axes = []
    for interval in ranges.values():
        points = np.linspace(interval.low, interval.high, POINTS)
        axes.append(np.unique(points.round()) if isinstance(interval, IntDistribution) else points)
    if (count := math.prod(map(len, axes))) > MOST_POINTS:
        size = f"a grid over {len(ranges)} hyperparameters has {count} trials, more than {MOST_POINTS}"
        raise UserError(f"{size}; take random-search")
    return [dict(zip(ranges, map(float, point), strict=True)) for point in product(*axes)]


def propose(method: str, ranges: Space, seed: int, number: int, trial: optuna.Trial) -> dict[str, float]:
    """Return the values of trial `number`, which the seed, the number and the scores in the trial's study determine."""
    if method == GRID:
        return grid(ranges)[number]
    state = int(np.random.SeedSequence((seed, number, SEARCHES.index(method))).generate_state(1)[0])
    bayes = method == BAYES
    trial.study.sampler = GPSampler(seed=state, n_startup_trials=STARTS) if bayes else RandomSampler(seed=state)
    return {name: _suggest(trial, name, interval) for name, interval in ranges.items()}


def _suggest(trial: optuna.Trial, name: str, interval: FloatDistribution | IntDistribution) -> float:
    if isinstance(interval, IntDistribution):
        return float(trial.suggest_int(name, interval.low, interval.high))
    return trial.suggest_float(name, interval.low, interval.high)
