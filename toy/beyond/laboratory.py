"""Every estimator on every regime: how far from the exact hypergradient, and for what price.

name             symbol                meaning
gradient         g, ĝ                  exact and estimated hypergradient
relative_error   ‖ĝ - g‖ / ‖g‖         infinite where the estimate is not finite
cosine           ĝᵀg / ‖ĝ‖‖g‖          0 where ĝ = 0
sign             -                     the part of the coordinates whose signs agree
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from reference.beyond.estimators.estimator import Estimator
from reference.console import records
from toy.beyond.lineup import RANK, SIGMA, SMALL_SIGMA, estimators
from toy.beyond.regimes import FULL, SMALL, Instance, Regime
from toy.paper.jobs import unfinished

SIZES = {"small": SMALL, "full": FULL}
EXPERIMENT = "estimators"


@dataclass(frozen=True)
class Job:
    """One regime at one size, and the seeds that have no record yet."""

    regime: Regime
    size: str
    seeds: tuple[int, ...]
    root: Path

    def settings(self, seed: int) -> dict[str, Any]:
        """Everything that a record's numbers depend on."""
        return {
            "experiment": EXPERIMENT,
            "regime": self.regime.name,
            "title": self.regime.title,
            "size": self.size,
            "seed": seed,
            "batch": self.regime.batch,
            "budgets": list(self.regime.budgets),
            "sigma": SIGMA,
            "sigma_normalised": SMALL_SIGMA,
        }

    def folder(self, seed: int) -> Path:
        """Where the record of a seed belongs."""
        return self.root / EXPERIMENT / self.size / self.regime.name / f"seed-{seed}"

    @property
    def title(self) -> str:
        """What a progress bar says of the job."""
        return f"{EXPERIMENT}, {self.regime.title}"


def pending(size: str, names: Iterable[str], seeds: Iterable[int], root: Path) -> Iterator[Job]:
    """The jobs whose records are missing, one for each regime and seed."""
    return unfinished(Job(SIZES[size][name], size, (seed,), root) for name in names for seed in seeds)


def run(job: Job) -> str:
    """Measure a regime and write its records; returns the job's title."""
    with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for seed in job.seeds:
            _write(job, seed)
    return job.title


def _write(job: Job, seed: int) -> None:
    instance = job.regime.instance(seed)
    spectrum = np.linalg.eigvalsh(instance.problem.hess_ww(instance.lam, instance.w))
    with records.Writer(job.folder(seed), job.settings(seed)) as writer:
        writer.facts |= {
            "m": len(instance.w),
            "h": len(instance.lam),
            "n": instance.problem.n,
            "condition": float(spectrum[-1] / spectrum[0]) if spectrum[0] > RANK * spectrum[-1] else None,
            **records.provenance("numpy", "scipy", "scikit-learn"),
        }
        exact = instance.problem.hypergradient(instance.lam)
        for estimator, budgets in estimators(instance, spectrum, job.regime):
            for row in rows(estimator, budgets, instance, exact, job.regime.batch, seed):
                writer.row(row)


def rows(
    estimator: Estimator,
    budgets: Iterable[float],
    instance: Instance,
    exact: np.ndarray,
    batch: int | None,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """A row for each budget, from generators of the seed and the budget alone."""
    for place, budget in enumerate(budgets):
        begin = time.perf_counter()
        rng = np.random.default_rng([seed, place])
        answer = estimator(instance.problem, instance.lam, instance.w, budget, rng, batch)
        seconds = round(time.perf_counter() - begin, 4)
        measured = compare(answer.gradient, exact)
        yield {"estimator": estimator.name, "budget": budget, "price": answer.price, **measured, "seconds": seconds}


def compare(estimate: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """Relative error, cosine and the part of signs that agree.

    Example:
        >>> compare(np.array([-2.0, 4.0, -4.0]), np.array([1.0, 2.0, 2.0]))  # 7/3, -1/9, 1/3
        {'relative_error': 2.3333333333333335, 'cosine': -0.1111111111111111, 'sign': 0.3333333333333333}
    """
    if not np.isfinite(estimate).all():
        return {"relative_error": np.inf, "cosine": 0.0, "sign": 0.0}
    size, length = np.linalg.norm(exact), np.linalg.norm(estimate)
    return {
        "relative_error": float(np.linalg.norm(estimate - exact) / size),
        "cosine": float(estimate @ exact / (length * size)) if length > 0 else 0.0,
        "sign": float(np.mean(np.sign(estimate) == np.sign(exact))),
    }
