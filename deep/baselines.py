"""The baselines of H.2 and H.3: the space that each searches, and the values that its next trial takes.

    method                 trial k's values
    random-search          uniform in the space
    grid-search            the k-th point of a product of lists
    bayesian-optimisation  where a Gaussian process on the scores so far expects most improvement, once there are two
                           scores; uniform before, and not random search's draws

Each is a function of (seed, k, trials before it), never of a process's state, so that a search may stop and go on.
Two scores are what Spearmint, which the paper took, waits for; Optuna's own ten would make a short search a random one.
"""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from deep.hyper.declared import Hyperparameter
from deep.ledger import Trial, optuna
from reference.command import UserError

RANDOM, GRID, BAYES = "random-search", "grid-search", "bayesian-optimisation"
SEARCHES = (RANDOM, GRID, BAYES)

DROP_RATE = 0.95
"""The upper bound by which a drop rate is known; of H.2's and H.3's other hyperparameters none has it."""
LARGEST_RATE, LARGEST_RATE_OF = 0.85, {"ptb-lstm": 0.75}
"""The baselines' own upper bound of drop rates, by experiment where it differs; all other bounds are the tuners'."""

STARTS = 2
"""Scores that Bayesian optimisation waits for."""

POINTS, MOST_POINTS = 10, 1000
"""Of a grid: for each hyperparameter unless they are given, and trials in all."""


@dataclass(frozen=True)
class Range:
    """What a hyperparameter is searched in, both ends included.

    Example:
        >>> Range(0.0, 4.0, whole=True).points(10), Range(0.0, 1.0).points(3)
        ([0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 0.5, 1.0])
    """

    low: float
    high: float
    whole: bool = False

    @property
    def distribution(self) -> Any:
        """As Optuna has it."""
        distributions = optuna().distributions
        if self.whole:
            return distributions.IntDistribution(math.ceil(self.low), math.floor(self.high))
        return distributions.FloatDistribution(self.low, self.high)

    def points(self, count: int) -> list[float]:
        """Evenly spaced, whole numbers once each."""
        points = np.linspace(self.low, self.high, count)
        return (np.unique(points.round()) if self.whole else points).tolist()

    def __contains__(self, point: float) -> bool:
        return self.low <= point <= self.high and not (self.whole and point % 1)


def space(experiment: str, declared: Iterable[Hyperparameter], given: Iterable[str] = ()) -> dict[str, Range]:
    """The baselines' search space, less the hyperparameters that are given a value.

    Raises:
        UserError: nothing is left, or a hyperparameter without bounds.

    Example:
        >>> space("mnist-mlp", [Hyperparameter("drop_1", start=0.05, high=0.95)])
        {'drop_1': Range(low=0.0, high=0.85, whole=False)}
    """
    ranges = {}
    for one in declared:
        if one.name in given:
            continue
        if not math.isfinite(one.high - one.low):
            raise UserError(f"hyperparameter {one.name!r} has no two bounds to search between; give it a value instead")
        rate = (one.low, one.high) == (0.0, DROP_RATE)
        high = LARGEST_RATE_OF.get(experiment, LARGEST_RATE) if rate else one.high
        ranges[one.name] = Range(one.low, high, one.discrete)
    if not ranges:
        raise UserError("nothing to search: every hyperparameter is given a value; use the method 'fixed'")
    return ranges


def grid(ranges: Mapping[str, Range], given: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """All points of the grid; ten for each hyperparameter that is not given its own.

    Raises:
        UserError: points for an unknown name, or outside its range, or more trials than MOST_POINTS.
    """
    for name, points in given.items():
        if name not in ranges:
            raise UserError(f"grid-search: {name!r} is not searched; there are {', '.join(ranges)}")
        one = ranges[name]
        if not points or not all(point in one for point in points):
            kind = "whole numbers" if one.whole else "points"
            raise UserError(f"grid-search: give {name!r} {kind} from {one.low} to {one.high}")
    lists = {name: given.get(name) or one.points(POINTS) for name, one in ranges.items()}
    if (count := math.prod(map(len, lists.values()))) > MOST_POINTS:
        what = f"a grid over {len(lists)} hyperparameters has {count} trials, more than {MOST_POINTS}"
        raise UserError(f"{what}; give some a value or fewer points, or take random-search")
    return [dict(zip(lists, point, strict=True)) for point in product(*lists.values())]


def propose(
    method: str, ranges: Mapping[str, Range], seed: int, number: int, before: Sequence[Trial] = ()
) -> dict[str, float]:
    """The values of trial `number`, given the trials that were begun before it.

    A fresh sampler and a study of its own in memory: what an earlier trial left in a sampler cannot matter.
    """
    package = optuna()
    own = int(np.random.SeedSequence((seed, number, SEARCHES.index(method))).generate_state(1)[0])
    samplers = {
        RANDOM: lambda: package.samplers.RandomSampler(seed=own),
        BAYES: lambda: package.samplers.GPSampler(seed=own, n_startup_trials=STARTS),
    }
    distributions = {name: one.distribution for name, one in ranges.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scores that are infinite, which are meant to be clipped
        study = package.create_study(sampler=samplers[method]())
        for trial in before if method == BAYES else ():
            study.add_trial(_entry(trial, distributions))
        return {name: float(value) for name, value in study.ask(distributions).params.items()}


def _entry(trial: Trial, distributions: Mapping[str, Any]) -> Any:
    states = optuna().trial.TrialState
    return optuna().trial.create_trial(
        state=states.RUNNING if trial.score is None else states.COMPLETE,
        value=trial.score,
        params=dict(trial.values),
        distributions=dict(distributions),
    )
