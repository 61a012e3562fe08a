"""The experiments of 5.1 and H.1, and one beyond: which problem, where λ starts, how long and how fast.

What H.1 states: 80/20 split, batches of 10 rows for fewer than 1000 rows in all and of 100 otherwise, T_train = 10,
T_valid = 1, σ = 1, 100 warm-up iterations, penalty 1 (fewer than 1000 rows) or 50 at the start, drop rate 0.2.
What it leaves open is chosen here, once for all data sets: see CHOICES.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reference.bilevel.transforms import Exp, Linear, Logistic, Transform
from reference.console.command import UserError
from reference.problems.dropout import InputDropout
from reference.problems.linear_network import LinearNetwork
from reference.problems.ridge import Ridge
from reference.problems.saturating import SaturatingSlopes
from toy.data.split import Split
from toy.loop.train import Schedule

REGIME = 1000
"""H.1: data sets below this many rows have smaller batches and penalties."""

DEPENDENT = 1e-10
"""A correlation matrix with an eigenvalue below this leaves fewer than 6 of 16 digits to whatever is solved with it."""

ToyProblem = Ridge | InputDropout


def zeros(generator: np.random.Generator, m: int) -> np.ndarray:
    """The start of every linear model: w0 = 0."""
    return np.zeros(m)


def near_identity(generator: np.random.Generator, m: int) -> np.ndarray:
    """The linear network's start: I + 0.05 noise in the five square layers, 0.1 noise in the output row."""
    layers = np.eye(m) + 0.05 * generator.standard_normal((5, m, m))
    return np.concatenate([layers.reshape(-1), 0.1 * generator.standard_normal(m)])


def batch_size(rows: int) -> int:
    """H.1's, for a data set of `rows` rows."""
    return 10 if rows < REGIME else 100


@dataclass(frozen=True)
class Experiment:
    """One of the paper's toy experiments.

    Args:
        problem: the problem of one split, or of several along a leading axis.
        s: λ to what a person understands, a penalty or a drop rate, called `unit`.
        starts: s(λ) at the start, for data sets of fewer than `REGIME` rows and for others.
        weights: w0 at the start, from one seed's generator and the number of features.
        full_batch: every iteration sees all training rows.
    """

    name: str
    figure: str
    problem: Callable[[Split], ToyProblem]
    s: Transform
    unit: str
    starts: tuple[float, float]
    schedule: Schedule
    sigma: float = 1.0
    weights: Callable[[np.random.Generator, int], np.ndarray] = zeros
    full_batch: bool = False

    def start(self, rows: int) -> float:
        """s(λ) at the start, for a data set of `rows` rows."""
        return self.starts[0] if rows < REGIME else self.starts[1]

    def batch(self, rows: int, n: int) -> int:
        """Rows of a mini-batch, for a data set of `rows` rows of which n are for training."""
        return n if self.full_batch else min(n, batch_size(rows))


def ridge(split: Split) -> Ridge:
    """H.1."""
    return Ridge(split.X, split.t, split.X_valid, split.t_valid, divisor=float(split.X.shape[-2]))


def ridge_undivided(split: Split) -> Ridge:
    """Figure 8: the penalty not divided by n."""
    return Ridge(split.X, split.t, split.X_valid, split.t_valid, divisor=1.0)


def dropout(split: Split) -> InputDropout:
    """H.2, with inverted scaling.

    Raises:
        UserError: an input is constant over the training rows, so that no rate has a unique best response.
    """
    # Scaled features have variance 1; constant ones 0, or what rounding has left of their mean.
    if (split.X.var(axis=-2) < 0.5).any():
        raise UserError("dropout: a feature is constant over the training rows of a seed; leave that column out")
    return InputDropout(split.X, split.t, split.X_valid, split.t_valid)


def linear_network(split: Split) -> LinearNetwork:
    """H.4, five hidden layers, ‖∂y/∂X‖² of one row: H.1's penalty."""
    return LinearNetwork(split.X, split.t, split.X_valid, split.t_valid, divisor=float(split.X.shape[-2]))


def linear_network_undivided(split: Split) -> LinearNetwork:
    """H.4 to the letter, ‖∂y/∂X‖² of all n rows: the penalty of figure 8."""
    return LinearNetwork(split.X, split.t, split.X_valid, split.t_valid, divisor=1.0)


def one_feature(split: Split) -> Ridge:
    """Figure 1: H.1 with the one feature that goes best with the target."""
    return ridge(_strongest(split, 1))


def saturating(split: Split) -> SaturatingSlopes:
    """Figure 2: the two features that go best with the target; slopes saturate 2 % beyond the largest best ones.

    Raises:
        UserError: one of the two is constant or tells no more than the other, so that there is no best response at
            penalty 0.
    """
    split = _strongest(split, 2)
    correlations = split.X.mT @ split.X / split.X.shape[-2]
    if np.linalg.eigvalsh(correlations).min() < DEPENDENT:
        raise UserError(
            "nonlinear: the two features that go best with the target are dependent, or one is constant, over the "
            "training rows of a seed; leave that column out"
        )
    data = (split.X, split.t, split.X_valid, split.t_valid)
    penalties = np.linspace(*SaturatingSlopes.bounds, 101).reshape(-1, *[1] * split.t.ndim)
    slopes = np.abs(Ridge(*data, divisor=1.0, s=Linear()).best_output(penalties)).max(axis=0)
    # A slope that is 0 at every penalty, but for rounding, has no scale of its own: any bound will do.
    sloping = slopes > 1e-12 * slopes.max(axis=-1, keepdims=True)
    return SaturatingSlopes(*data, divisor=1.0, s=Linear(), c=np.where(sloping, 1.02 * slopes, 1.0))


def _strongest(split: Split, count: int) -> Split:
    """The features of greatest absolute correlation with the target over the training rows, for each replicate."""
    order = np.argsort(-np.abs(np.vecmat(split.t, split.X)), axis=-1)[..., None, :count]
    return Split(
        np.take_along_axis(split.X, order, axis=-1),
        split.t,
        np.take_along_axis(split.X_valid, order, axis=-1),
        split.t_valid,
    )


H1_PENALTIES = (1.0, 50.0)
"""H.1: "1 for datasets with less than 1000 data points and 50 for others", read as s(λ) = exp(λ)."""

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment("ridge", "figures 3 and 7", ridge, Exp(), "penalty", H1_PENALTIES, Schedule(alpha1=0.01)),
        # Undivided, the penalty's gradient is n times larger: at α_1 = 0.01 no method is stable from exp(λ) = 50.
        Experiment(
            "ridge-undivided", "figure 8", ridge_undivided, Exp(), "penalty", H1_PENALTIES, Schedule(alpha1=0.0005)
        ),
        Experiment("dropout", "figure 3", dropout, Logistic(), "rate", (0.2, 0.2), Schedule(alpha1=0.01)),
        Experiment(
            "linear-network",
            "figure 4",
            linear_network,
            Exp(),
            "penalty",
            H1_PENALTIES,
            Schedule(alpha1=0.002, updates=600),
            weights=near_identity,
        ),
        Experiment(
            "linear-network-undivided",
            "figure 4, stability",
            linear_network_undivided,
            Exp(),
            "penalty",
            H1_PENALTIES,
            Schedule(alpha1=0.002, updates=600),
            weights=near_identity,
        ),
        Experiment("decoupling", "figure 9", ridge, Exp(), "penalty", (50.0, 50.0), Schedule(alpha1=0.01)),
        # Beyond the paper: how well Θ is learned at a λ that is held, whatever the method and its σ.
        Experiment(
            "response",
            "figure b1, λ held",
            ridge,
            Exp(),
            "penalty",
            (50.0, 250.0),
            Schedule(alpha1=0.01, T_valid=0, updates=400),
        ),
        Experiment(
            "nonlinear",
            "figure 2, λ held",
            saturating,
            Linear(low=0.0),
            "penalty",
            (0.2, 0.2),
            Schedule(alpha1=5.0, T_valid=0, updates=1000),
            sigma=0.2,
            full_batch=True,
        ),
        Experiment(
            "one-feature",
            "figure 1, λ held",
            one_feature,
            Exp(),
            "penalty",
            (100.0, 250.0),
            Schedule(alpha1=0.01, T_valid=0, updates=600),
            sigma=0.5,
            full_batch=True,
        ),
    )
}
