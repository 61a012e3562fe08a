"""What a run is: an experiment, a data set, a method and a seed; its settings, its folder, and which are missing.

name     shape    meaning
seeds    (R,)     replicates that run together along a leading axis
"""

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from numpy import ndarray

from reference.beyond.control_variate.updates import extended
from reference.console import records
from reference.console.command import UserError
from reference.rule.updates import Method
from toy.console.processes import Task
from toy.data.datasets import Dataset
from toy.loop.train import Schedule
from toy.paper.experiments import Experiment

J = TypeVar("J", bound=Task)


@runtime_checkable
class Arrays(Protocol):
    """A data set."""

    @property
    def X(self) -> ndarray: ...

    @property
    def t(self) -> ndarray: ...


@dataclass(frozen=True)
class Job:
    """One call of the training loop: an experiment, a data set, a method, and the seeds that have no record yet."""

    experiment: Experiment
    dataset: Dataset
    method: Method
    seeds: tuple[int, ...]
    start: float
    sigma: float
    schedule: Schedule
    root: Path

    def settings(self, seed: int) -> dict[str, Any]:
        """Everything that a run's numbers depend on."""
        rows, features = self.dataset.X.shape
        n = rows - math.ceil(rows / 5)
        return {
            "experiment": self.experiment.name,
            "data": {"name": self.dataset.name, "rows": rows, "features": features, "digest": digest(self.dataset)},
            "method": asdict(extended(self.method)),
            "seed": seed,
            "start": self.start,
            "sigma": self.sigma,
            "batch": "all" if self.experiment.full_batch else self.experiment.batch(rows, n),
            "schedule": asdict(self.schedule),
        }

    def folder(self, seed: int) -> Path:
        """Where the record of a seed belongs."""
        start = f"start-{self.start!r}".removesuffix(".0")
        start += "" if self.sigma == self.experiment.sigma else f"-sigma-{self.sigma!r}".removesuffix(".0")
        usual = asdict(self.experiment.schedule)
        start += "".join(f"-{name}-{value!r}" for name, value in asdict(self.schedule).items() if value != usual[name])
        # A file called ...csv has the stem `..`, which as a folder would be the one above.
        name = self.dataset.name.strip(".") or "data"
        name += "" if self.dataset.known else f"-{digest(self.dataset)[:8]}"  # another file, or target, of that name
        return self.root / self.experiment.name / name / self.method.slug / start / f"seed-{seed}"

    @property
    def title(self) -> str:
        """What a progress bar says of the job."""
        return " ".join(f"{self.experiment.name}, {self.dataset.name}, {self.method.name}".split())


def digest(dataset: Arrays) -> str:
    """What tells two data sets of one name apart."""
    return hashlib.sha256(dataset.X.tobytes() + dataset.t.tobytes()).hexdigest()[:16]


def pending(
    experiment: Experiment,
    dataset: Dataset,
    methods: Iterable[Method],
    seeds: Iterable[int],
    root: Path,
    start: float | None = None,
    sigma: float | None = None,
    schedule: Schedule | None = None,
) -> Iterator[Job]:
    """The jobs whose records are missing; seeds with a finished record of the same settings are left out.

    Args:
        start, sigma, schedule: the experiment's own unless given.

    Raises:
        UserError: `start` is not inside the range of s.
    """
    value = experiment.start(len(dataset.X)) if start is None else start
    try:
        experiment.s.inverse(value)
    except ValueError as error:
        raise UserError(f"--start {error}; give a {experiment.unit} inside that range") from None
    scale = experiment.sigma if sigma is None else sigma
    pace = experiment.schedule if schedule is None else schedule
    yield from unfinished(
        Job(experiment, dataset, method, tuple(seeds), value, scale, pace, root) for method in methods
    )


def unfinished(jobs: Iterable[J]) -> Iterator[J]:
    """Jobs without the seeds that have a finished record of the same settings; none where all have.

    Args:
        jobs: dataclasses that are tasks, and know the `settings` of a seed.

    Raises:
        UserError: a folder holds another run's record.
    """
    for job in jobs:
        any_job: Any = job
        missing = [seed for seed in job.seeds if not records.is_finished(job.folder(seed), any_job.settings(seed))]
        for folder in map(job.folder, missing):
            if (folder / records.HISTORY).exists():
                problem = f"{folder} holds a finished record of other data or settings, which would be lost"
                raise UserError(f"{problem}; move it away, or choose another --out")
        if missing:
            yield replace(any_job, seeds=tuple(missing))


def alike(jobs: Iterable[Job]) -> list[list[Job]]:
    """In groups: jobs that differ in method, start, σ and schedule alone, and so see the same rows, noise and masks."""
    groups: dict[Any, list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.experiment, digest(job.dataset), job.seeds, job.root), []).append(job)
    return list(groups.values())
