"""What a run is: an experiment at a preset, a method, a seed, and what is changed; its settings, folder and record.

name       meaning
method     stn, reparam-stn, centered-stn, delta-stn, one beyond the paper (delta-stn-cv, ...), or `fixed`: a plain run
           at given values or along a schedule
changes    what differs from the experiment as it stands; each is part of the folder's name
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from deep.experiments import Experiment
from deep.problems import Problem, Size
from deep.training.run import Row, Run
from deep.training.schedule import SigmaDecay
from deep.training.schedule import Schedule
from deep.training.fit import record
from deep.tuner.tuner import Tuner
from reference.command import UserError
from reference.updates import BEYOND, METHODS, Method
from toy import records

FIXED = "fixed"
BY_SLUG: Mapping[str, Method] = {method.slug: method for method in (*METHODS, *BEYOND)}


@dataclass(frozen=True)
class Changes:
    """Departures from the experiment's own settings; None leaves a setting as it is.

    Args:
        start: of every drop rate.
        tau: weight of the entropy.
        sigma: the perturbation scale at the start.
        sigma_end: ... and after the last epoch; it goes there in equal ratios, an epoch each, and is not learned.
        T_train, T_valid: inner steps, and the outer steps after them.
        theta_rate, theta_momentum: Θ's learning rate in units of w0's, and Θ's own momentum.
        warm_up, epochs, rows: as in `Size`.
        noise: for `fixed`: hyperparameters perturbed by N(0, σ²) with this σ.
        schedule: for `fixed`: the run or the CSV to replay.
        values: for `fixed`: name -> s(λ).
    """

    start: float | None = None
    tau: float | None = None
    sigma: float | None = None
    sigma_end: float | None = None
    T_train: int | None = None
    T_valid: int | None = None
    theta_rate: float | None = None
    theta_momentum: float | None = None
    warm_up: int | None = None
    epochs: int | None = None
    rows: int | None = None
    noise: float | None = None
    schedule: str | None = None
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def made(self) -> dict[str, Any]:
        """Those that are made."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) not in (None, {})}


@dataclass(frozen=True)
class Job:
    """One run."""

    experiment: Experiment
    preset: str
    method: str
    seed: int
    root: Path
    changes: Changes = Changes()
    data_home: Path | None = None
    device: str = "cpu"

    @property
    def size(self) -> Size:
        """The preset's, with the changes."""
        made = {name: value for name, value in self.changes.made.items() if name in ("warm_up", "epochs", "rows")}
        return replace(self.experiment.presets[self.preset], **made)

    @property
    def tau(self) -> float:
        """The weight of the entropy."""
        own = self.experiment.tau_of.get(self.method, self.experiment.tau)
        return own if self.changes.tau is None else self.changes.tau

    @property
    def folder(self) -> Path:
        """Where the record belongs."""
        made = self._made
        made |= made.pop("values", {})
        variant = [f"{name.replace('_', '-')}-{value}" for name, value in made.items()]
        return self.root.joinpath(self.experiment.name, self.preset, self.method, *variant, f"seed-{self.seed}")

    def settings(self) -> dict[str, Any]:
        """Everything that the run's numbers depend on."""
        return {
            "experiment": self.experiment.name,
            "preset": self.preset,
            "method": self.method,
            "seed": self.seed,
            "size": asdict(self.size),
            "changes": self._made,
            "tau": self.tau,
            **self._data,
        }

    def is_finished(self) -> bool:
        """Whether the record is there."""
        return records.is_finished(self.folder, self.settings())

    def run(self, progress: bool = True, keep: Callable[[Row], None] = lambda row: None) -> list[Row]:
        """Train, from the last checkpoint where there is one, and write the record."""
        run = self.prepare(progress)
        return record(run, self.settings(), provenance(self.device), keep)

    def prepare(self, progress: bool = True) -> Run:
        """The run before its first step."""
        torch.manual_seed(self.seed)
        device = usable(self.device)
        problem = self.experiment.build(self.size, self.changes.start, self.seed, self.data_home, device)
        problem.hyper.set(self.changes.values)
        if (sigma := self.changes.noise or self.changes.sigma) is not None:
            problem.hyper.set_scale(sigma)
        tuner, optimisation = self._tuner(problem), self.experiment.optimisation
        tuner.warm_up = self.size.warm_up * len(problem.train)
        return Run(
            tuner,
            problem.train,
            problem.valid,
            problem.test,
            epochs=self.size.epochs,
            metrics=problem.metrics,
            schedulers=[*optimisation.schedulers(tuner, self.size.epochs), *self._scale(problem)],
            stop=lambda: optimisation.stop(tuner),
            replay=self._schedule,
            folder=self.folder,
            progress=progress,
        )

    @property
    def _made(self) -> dict[str, Any]:
        """The changes, a schedule by its name and content."""
        made, schedule = self.changes.made, self._schedule
        return made if schedule is None else made | {"schedule": f"{Path(made['schedule']).stem}-{schedule.digest}"}

    @cached_property
    def _schedule(self) -> Schedule | None:
        return None if self.changes.schedule is None else Schedule.read(Path(self.changes.schedule))

    @cached_property
    def _data(self) -> dict[str, str]:
        """What data of one's own are known by; a published set is known by its name."""
        identity = self.experiment.identity
        return {} if identity is None or self.data_home is None else {"data": identity(self.data_home)}

    def _scale(self, problem: Problem) -> list[SigmaDecay]:
        end = self.changes.sigma_end
        return [] if end is None else [SigmaDecay(problem.hyper, end, self.size.epochs)]

    def _tuner(self, problem: Problem) -> Tuner:
        changes, optimisation = self.changes, self.experiment.optimisation
        return Tuner(
            problem.model,
            problem.hyper,
            problem.train_loss,
            problem.valid_loss,
            method=None if self.method == FIXED else BY_SLUG[self.method],
            augment=problem.augment,
            predict=problem.predict,
            w0=optimisation.weights(),
            Theta=optimisation.weights(changes.theta_rate or 1.0, changes.theta_momentum),
            lam=optimisation.outer,
            sigma=optimisation.outer if optimisation.learn_sigma and changes.sigma_end is None else None,
            tau=self.tau,
            T_train=changes.T_train or 5,
            T_valid=changes.T_valid or 1,
            noise=changes.noise is not None,
            clip=optimisation.clip,
            seed=self.seed,
        )


def usable(name: str) -> torch.device:
    """The device of a name.

    Raises:
        UserError: there is none that holds numbers.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # meta makes tensors, but without numbers
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise UserError(f"device {name!r} cannot be used ({reason}); choose another --device") from None
    return device


def provenance(device: str, *packages: str) -> dict[str, Any]:
    """How a record came about: as `records` has it, and what it ran on."""
    return records.provenance("torch", "numpy", *packages) | {"device": device, "threads": torch.get_num_threads()}
