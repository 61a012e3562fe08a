"""Many splits of a toy problem, which tell apart what five cannot: one record for each problem, a row for each run.

name          symbol                      meaning
regret        L_V(r(λ))/L_V(r(λ*)) - 1    at the last kept step; infinite where the run diverged
mean_regret   -                           its mean over the kept steps of the run; likewise
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from reference.beyond.control_variate.updates import extended
from reference.bilevel.optimum import Optimum
from reference.console import records
from reference.rule.updates import METHODS
from toy.data.datasets import OFFLINE, Dataset, load
from toy.data.split import split
from toy.loop.train import Schedule
from toy.loop.trajectory import Trajectory
from toy.paper import jobs
from toy.paper.experiments import EXPERIMENTS, Experiment, ToyProblem
from toy.paper.runs import steps_before_divergence, train_jobs

EXPERIMENT = "splits"
SEEDS = tuple(range(40))

_BOTH_OUTER_STEPS: Sequence[dict[str, Any]] = ({}, {"unperturbed_outer": True})
CHANGES: dict[str, Sequence[dict[str, Any]]] = {
    "ridge": _BOTH_OUTER_STEPS,
    "dropout": _BOTH_OUTER_STEPS,
    "linear-network": _BOTH_OUTER_STEPS,
    "linear-network-undivided": [{"alpha1": alpha1} for alpha1 in (0.0005, 0.001, 0.002, 0.003, 0.004)],
}
"""Experiment -> what its schedules change."""


@dataclass(frozen=True)
class Job:
    """An experiment on a data set: the paper's four methods at each of its schedules, all seeds in one record."""

    experiment: Experiment
    dataset: Dataset
    root: Path
    seeds: tuple[int, ...] = SEEDS

    @property
    def schedules(self) -> list[Schedule]:
        """What is compared."""
        return [replace(self.experiment.schedule, **changes) for changes in CHANGES[self.experiment.name]]

    def settings(self, seed: int) -> dict[str, Any]:
        """Everything that the record's numbers depend on; the seed is any of them."""
        return {
            "experiment": EXPERIMENT,
            "problem": self.experiment.name,
            "data": {"name": self.dataset.name, "rows": len(self.dataset.X), "digest": jobs.digest(self.dataset)},
            "methods": [asdict(extended(method)) for method in METHODS],
            "seeds": len(SEEDS),
            "start": self.experiment.start(len(self.dataset.X)),
            "sigma": self.experiment.sigma,
            "schedules": [asdict(schedule) for schedule in self.schedules],
        }

    def folder(self, seed: int) -> Path:
        """Where the record belongs."""
        return self.root / EXPERIMENT / self.experiment.name / self.dataset.name

    @property
    def title(self) -> str:
        """What a progress bar says of the job."""
        return f"{len(self.seeds)} splits, {self.experiment.name}, {self.dataset.name}"


def pending(names: Iterable[str], root: Path) -> list[Job]:
    """The jobs whose records are missing, one for each experiment and data set that needs no network."""
    datasets = [load(name) for name in OFFLINE]
    return list(jobs.unfinished(Job(EXPERIMENTS[name], data, root) for name in names for data in datasets))


def run(job: Job) -> str:
    """Train every method at every schedule on every split, and write the record; returns the job's title."""
    with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        table = list(rows(job))
    seed, *_ = job.seeds
    with records.Writer(job.folder(seed), job.settings(seed)) as writer:
        writer.facts |= records.provenance("numpy", "scipy", "scikit-learn")
        for row in table:
            writer.row(row)
    return job.title


def rows(job: Job) -> Iterator[dict[str, Any]]:
    """A row for each method, schedule and seed."""
    start, sigma = job.experiment.start(len(job.dataset.X)), job.experiment.sigma
    problems = [job.experiment.problem(split(job.dataset, seed)) for seed in job.seeds]
    optima = [problem.optimum() for problem in problems]
    for method, schedule in product(METHODS, job.schedules):
        runs = jobs.Job(job.experiment, job.dataset, method, job.seeds, start, sigma, schedule, job.root)
        ((_, trajectory),) = train_jobs([runs])  # alone, since it keeps all weights of all its steps
        for index, (seed, problem, optimum) in enumerate(zip(job.seeds, problems, optima, strict=True)):
            yield {
                "method": method.name,
                "alpha1": schedule.alpha1,
                "outer_eps": "0" if schedule.unperturbed_outer else "drawn",
                "seed": seed,
                **regrets(runs, trajectory.replicate(index), problem, optimum),
            }


def regrets(job: jobs.Job, trajectory: Trajectory, problem: ToyProblem, optimum: Optimum) -> dict[str, float]:
    """Of one run, at its end and on the average."""
    if steps_before_divergence(job, trajectory) < len(trajectory):
        return {"regret": np.inf, "mean_regret": np.inf}
    along = problem.regret(trajectory.states.lam, optimum)
    return {"regret": float(along[-1]), "mean_regret": float(along.mean())}
