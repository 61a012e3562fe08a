"""What the structure of Eqn. 3.14 costs: hypergradients of one unit's best and learned Jacobians, against how many λ.

name         symbol                meaning
h            h                     groups of equally many random features, a penalty for each; all stand at exp(λ) = 50
rate_        -                     before a name: a drop rate for each instead, all at 0.2, in expectation; not trained
frobenius    argmin ‖ruᵀ - Θ*‖     the nearest Jacobian that one unit can have
loss         argmin of Eqn. 3.10   the one that its training descends to, to second order
structured   ruᵀ                   what that training found in `STEPS` steps of full batches
full         Θ                     the same without structure (Eqn. 3.1)

For each, Θᵀ∂L_V/∂w at w = r(λ) against the exact hypergradient g: ‖ĝ - g‖/‖g‖, the cosine, and the part of the signs
that agree; and `left`, Eqn. 3.10's excess over that of Θ = 0. Here w0 = r(λ) is held, so that nothing else is learned.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy import ndarray
from scipy.special import logit
from threadpoolctl import threadpool_limits

from reference.beyond.problems.grouped import GroupedPenalties, GroupedRates, GroupedRegression
from reference.beyond.theory.rank_one import OneUnit, excess, least_loss, nearest
from reference.console import records
from reference.rule.hypernet import FullResponse
from reference.rule.updates import DELTA_STN, perturbed_gradient
from toy.beyond.features import random_features
from toy.beyond.laboratory import compare
from toy.data.datasets import Dataset, load
from toy.data.split import split

EXPERIMENT = "structure"
PENALTY, RATE = 50.0, 0.2
SIGMA = 0.1
STEPS = 5000
RATES = 2.0 ** np.arange(4, 11)
"""Of one unit's step, relative to the full response's: which is best depends on the size of r and u. It is kept."""

GROUPS = {100: (1, 2, 5, 10, 20, 50, 100), 1000: (1, 10, 100, 1000)}
"""Random features -> numbers of groups."""
TRAINED = 100
"""Features beyond which nothing is trained: the full response's steps shrink like 1/h."""

R = TypeVar("R", FullResponse, OneUnit)


@dataclass(frozen=True)
class Job:
    """One data set with `width` random features, in each of `GROUPS[width]` groups."""

    dataset: Dataset
    width: int
    root: Path
    seed: int = 0

    @property
    def trained(self) -> bool:
        """Whether both responses are trained as well."""
        return self.width <= TRAINED

    def settings(self) -> dict[str, Any]:
        """Everything that the record's numbers depend on."""
        return {
            "experiment": EXPERIMENT,
            "data": self.dataset.name,
            "width": self.width,
            "groups": GROUPS[self.width],
            "penalty": PENALTY,
            "rate": RATE,
            "seed": self.seed,
            "training": {"sigma": SIGMA, "steps": STEPS} if self.trained else None,
        }

    @property
    def seeds(self) -> tuple[int, ...]:
        """The one."""
        return (self.seed,)

    @property
    def title(self) -> str:
        """For the progress bar."""
        return f"{EXPERIMENT}, {self.dataset.name}, {self.width} features"

    def folder(self, seed: int) -> Path:
        """Where a seed's record belongs."""
        return self.root / EXPERIMENT / self.dataset.name / f"width-{self.width}" / f"seed-{seed}"

    @property
    def done(self) -> bool:
        """Whether it is there."""
        return records.is_finished(self.folder(self.seed), self.settings())


def pending(names: Iterable[str], root: Path) -> list[Job]:
    """The jobs of data sets that have no record yet, one for each width."""
    jobs = [Job(load(name), width, root) for name in names for width in GROUPS]
    return [job for job in jobs if not job.done]


def run(job: Job) -> str:
    """Measure every number of groups that the width allows, write the record, and return the job's title."""
    data = random_features(split(job.dataset, job.seed), job.width, job.seed)
    with threadpool_limits(1), records.Writer(job.folder(job.seed), job.settings()) as writer:
        writer.facts |= records.provenance("numpy", "scipy", "scikit-learn")
        for h in GROUPS[job.width]:
            group = tuple(int(j) for j in np.arange(job.width) * h // job.width)
            arrays = data.X, data.t, data.X_valid, data.t_valid
            penalties = GroupedPenalties(*arrays, group, divisor=float(len(data.X)))
            row = dict(measured(penalties, np.log(PENALTY), job.seed if job.trained else None))
            rates = measured(GroupedRates(*arrays, group), logit(RATE))
            writer.row({"h": h, **row, **{f"rate_{name}": value for name, value in rates}})
    return job.title


def measured(problem: GroupedRegression, penalty: float, seed: int | None = None) -> Iterator[tuple[str, float]]:
    """The columns of a row, every λ_i = `at`; of trained responses too where there is a seed for them."""
    lam, sigma = np.full(problem.h, penalty), np.full(problem.h, SIGMA)
    r, Theta = problem.best_response(lam), problem.best_response_jacobian(lam)
    H, g_valid = problem.hess_ww(lam, r), problem.valid_grad_w(lam, r)
    g = np.vecmat(g_valid, Theta)
    responses: dict[str, OneUnit | FullResponse] = {"frobenius": nearest(Theta), "loss": least_loss(Theta, H, sigma)}
    whole = float(excess(np.zeros_like(Theta), Theta, H, sigma))
    if seed is not None:
        responses |= learned(problem, lam, r, Theta, H, seed)
    for name, response in responses.items():
        for measure, value in compare(response.adjoint(g_valid), g).items():
            yield f"{name}_{measure.removeprefix('relative_')}", value
        yield f"{name}_left", float(excess(response.Theta, Theta, H, sigma)) / whole


def learned(
    problem: GroupedRegression, lam: ndarray, r: ndarray, Theta: ndarray, H: ndarray, seed: int
) -> dict[str, OneUnit | FullResponse]:
    """Both responses after `STEPS` of Δ-STN's own steps on Eqn. 3.10; of one unit, at the rate that left least."""
    m, h = Theta.shape
    rng, problem = np.random.default_rng(seed), compressed(problem)
    noise = SIGMA * rng.standard_normal((STEPS, h))
    # A quarter of 2/((h+2)σ²λ_max(H)), above which the full response's mean square grows (reference/README.md).
    alpha = 0.5 / (SIGMA**2 * (h + 2) * np.linalg.eigvalsh(H)[-1])
    full = descend(problem, lam, r, FullResponse(np.zeros((m, h))), noise, alpha)
    # As layers start: W_response of variance 1/m, and U = 0. The rates run side by side along a leading axis.
    rates = alpha * RATES[:, None]
    start = OneUnit(np.tile(rng.standard_normal(m) / np.sqrt(m), (len(RATES), 1)), np.zeros((len(RATES), h)))
    units = descend(problem, lam, r, start, noise, rates)
    with np.errstate(over="ignore", invalid="ignore"):
        left = excess(units.Theta, Theta, H, np.full(h, SIGMA))
    best = int(np.argmin(np.where(np.isfinite(left), left, np.inf)))
    return {"structured": OneUnit(units.r[best], units.u[best]), "full": full}


def compressed(problem: GroupedRegression) -> GroupedRegression:
    """The same training loss, but for a constant, on at most m rows: X = QR, and ‖Xw - t‖² = ‖Rw - Qᵀt‖² + const."""
    Q, R = np.linalg.qr(problem.X)
    mean = np.sqrt(len(R) / problem.n)
    return replace(problem, X=mean * R, t=mean * (Q.T @ problem.t))


def descend(
    problem: GroupedRegression, lam: ndarray, w0: ndarray, response: R, noise: ndarray, alpha: float | ndarray
) -> R:
    """Eqn. 3.10's steps, one for each row of `noise`; a rate that is too large runs to infinity and is not chosen."""
    with np.errstate(over="ignore", invalid="ignore"):
        for eps in noise:
            g = perturbed_gradient(DELTA_STN, problem, lam + eps, w0, response.apply(eps))
            moved = response.minus(alpha, response.gradient(eps, g))
            assert isinstance(moved, type(response))
            response = moved
    return response
