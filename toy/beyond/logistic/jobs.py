"""What a run is: data, what is tuned, a method and a seed; and where λ starts.

name     symbol   shape   meaning
tuned    -        -       "decay" (h = 1), "smoothing" (h = 2: the decay, too) or "weights" (h = 2 + c: all)
start    λ        (h,)    log decay, logit of the smoothing, logs of the class weights
seeds    -        (R,)    replicates that run together along a leading axis
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import logit

from reference.beyond.control_variate.updates import extended
from reference.rule.updates import Method
from toy.beyond.logistic.labels import Labelled
from toy.loop.train import Schedule
from toy.paper.experiments import batch_size
from toy.paper.jobs import digest

EXPERIMENT = "logistic"
TUNED = ("decay", "smoothing", "weights")
DECAY, SMOOTHING = 50.0, 0.2
"""At the start; class weights start at 1."""
SCHEDULE = Schedule(alpha1=0.1, alpha2=0.05, updates=300, keep_every=30)
SIGMA = 1.0


def hyperparameters(tuned: str, classes: int) -> tuple[str, ...]:
    """Their names, in the order of λ.

    Example:
        >>> hyperparameters("smoothing", 3), hyperparameters("weights", 2)
        (('decay', 'smoothing'), ('decay', 'smoothing', 'weight_1', 'weight_2'))
    """
    names = ("decay", "smoothing", *(f"weight_{k + 1}" for k in range(classes)))
    return {"decay": names[:1], "smoothing": names[:2], "weights": names}[tuned]


def start(h: int) -> Float[ndarray, "h"]:
    """λ at the start.

    Example:
        >>> start(4).round(2)
        array([ 3.91, -1.39,  0.  ,  0.  ])
    """
    return np.append([np.log(DECAY), logit(SMOOTHING)], np.zeros(max(h - 2, 0)))[:h]


@dataclass(frozen=True)
class Job:
    """One call of the training loop, for the seeds that have no record yet."""

    data: Labelled
    tuned: str
    method: Method
    seeds: tuple[int, ...]
    sigma: float
    root: Path

    @property
    def h(self) -> int:
        """How many hyperparameters."""
        return len(hyperparameters(self.tuned, self.data.classes))

    @property
    def batch(self) -> int:
        """Rows of a mini-batch, by H.1's rule."""
        return batch_size(len(self.data.X))

    def settings(self, seed: int) -> dict[str, Any]:
        """Everything that a run's numbers depend on."""
        rows, inputs = self.data.X.shape
        return {
            "experiment": EXPERIMENT,
            "tuned": self.tuned,
            "data": {"name": self.data.name, "rows": rows, "inputs": inputs, "digest": digest(self.data)},
            "method": asdict(extended(self.method)),
            "seed": seed,
            "start": start(self.h).tolist(),
            "sigma": self.sigma,
            "batch": self.batch,
            "schedule": asdict(SCHEDULE),
        }

    def folder(self, seed: int) -> Path:
        """Where the record of a seed belongs."""
        scale = f"sigma-{self.sigma!r}".removesuffix(".0")
        return self.root / EXPERIMENT / self.tuned / self.data.name / self.method.slug / scale / f"seed-{seed}"

    @property
    def title(self) -> str:
        """What a progress bar says of the job."""
        return f"{EXPERIMENT}, {self.tuned}, {self.data.name}, {self.method.name}"


def jobs(
    data: Iterable[Labelled], tuned: str, methods: Sequence[Method], seeds: Iterable[int], sigma: float, root: Path
) -> list[Job]:
    """A job for each data set and method, each once, whether it has records or not."""
    every = [Job(dataset, tuned, method, tuple(seeds), sigma, root) for dataset in data for method in methods]
    return list({(job.data.name, job.method.slug): job for job in every}.values())
