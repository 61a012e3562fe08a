"""What a run is: an experiment at a preset, a method, a seed, and changes; its settings, folder and record.

method     stn, reparam-stn, centered-stn, delta-stn, one beyond the paper (delta-stn-cv, ...), or `fixed`: a plain run
           at given values or along a schedule

change                       departure from the experiment as it stands; each is part of the folder's name
start                        of every drop rate
tau                          weight of the entropy
sigma, sigma_end             the scale σ at the start, and after the last epoch (then in equal ratios, and not learned)
T_train, T_valid             inner steps, and the outer steps after them
theta_rate, theta_momentum   Θ's learning rate in units of w0's, and Θ's momentum
theta_adam                   Θ's optimiser is Adam at this rate
theta_per_loss               Θ's learning rate is divided by the training loss, at most multiplied by this
warm_up, epochs, rows        as in `Size`
noise, schedule, values      of `fixed`: λ perturbed by N(0, noise²); a run or a CSV to replay; name -> s(λ)
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch.optim import Adam

from deep.paper.experiments import Experiment
from deep.paper.problems import Problem, Size
from deep.training.fit import record
from deep.training.run import Row, Run
from deep.training.schedule import PerLoss, Schedule, SigmaDecay
from deep.tuner.tuner import Tuner
from reference.beyond.control_variate.updates import BEYOND
from reference.console import records
from reference.console.command import UserError
from reference.rule.updates import METHODS, Method

FIXED = "fixed"
CHANGES = ("start", "tau", "sigma", "sigma_end", "T_train", "T_valid", "theta_rate", "theta_momentum", "theta_adam",
           "theta_per_loss", "warm_up", "epochs", "rows", "noise", "schedule", "values")  # fmt: skip
"""In the order of folders' names."""
BY_SLUG: Mapping[str, Method] = {method.slug: method for method in (*METHODS, *BEYOND)}


@dataclass(frozen=True)
class Job:
    """One run.

    Args:
        changes: those that are made, by name, in the order of the table.
        data_home: the folder that holds the data.
    """

    experiment: Experiment
    preset: str
    method: str
    seed: int
    root: Path
    changes: Mapping[str, Any] = field(default_factory=dict)
    data_home: Path | None = None
    device: str = "cpu"

    @property
    def folder(self) -> Path:
        """Where the record belongs."""
        changes = self.settings["changes"]
        changes = {name: value for name, value in changes.items() if name != "values"} | changes.get("values", {})
        variant = [f"{name.replace('_', '-')}-{value}" for name, value in changes.items()]
        return self.root.joinpath(self.experiment.name, self.preset, self.method, *variant, f"seed-{self.seed}")

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the run's numbers depend on; a text and a schedule by a digest."""
        sizes = {name: self.changes[name] for name in ("warm_up", "epochs", "rows") if name in self.changes}
        tau = self.experiment.tau_of.get(self.method, self.experiment.tau)
        settings = {
            "experiment": self.experiment.name,
            "preset": self.preset,
            "method": self.method,
            "seed": self.seed,
            "size": asdict(replace(self.experiment.presets[self.preset][0], **sizes)),
            "changes": dict(self.changes),
            "tau": self.changes.get("tau", tau),
        }
        if self._schedule is not None:
            settings["changes"]["schedule"] = f"{Path(self.changes['schedule']).stem}-{self._schedule.digest}"
        if self.experiment.data_digest is not None and self.data_home is not None:
            settings["data"] = self.experiment.data_digest(self.data_home)
        return settings

    def is_finished(self) -> bool:
        """Tell whether the record is there."""
        return records.is_finished(self.folder, self.settings)

    def run(self, progress: bool = True, on_row: Callable[[Row], None] = lambda row: None) -> list[Row]:
        """Train, from the last checkpoint where there is one, and write the record."""
        return record(self.prepare(progress), self.settings, provenance(self.device), on_row)

    def prepare(self, progress: bool = True) -> Run:
        """Build the run before its first step."""
        torch.manual_seed(self.seed)
        changes, size, device = self.changes, Size(**self.settings["size"]), usable(self.device)
        problem = self.experiment.build(size, changes.get("start"), self.seed, self.data_home, device)
        problem.hyper.set(changes.get("values", {}))
        if (sigma := changes.get("noise", changes.get("sigma"))) is not None:
            problem.hyper.set_scale(sigma)
        tuner, optimisation = self._tuner(problem), self.experiment.optimisation
        tuner.warm_up = size.warm_up * len(problem.train)
        schedulers = optimisation.schedulers(tuner, size.epochs)
        if "sigma_end" in changes:
            schedulers.append(SigmaDecay(problem.hyper, changes["sigma_end"], size.epochs))
        most = changes.get("theta_per_loss")
        per_loss = [] if most is None else [PerLoss(tuner.optimisers["Theta"], most)]
        return Run(
            tuner,
            problem.train,
            problem.valid,
            problem.test,
            epochs=size.epochs,
            metrics=problem.metrics,
            schedulers=schedulers,
            step_schedulers=per_loss,
            on_step=lambda seen: [scheduler.observe(seen) for scheduler in per_loss],
            stop=lambda: optimisation.stop(tuner),
            replay=self._schedule,
            folder=self.folder,
            progress=progress,
        )

    @cached_property
    def _schedule(self) -> Schedule | None:
        return Schedule.read(Path(self.changes["schedule"])) if "schedule" in self.changes else None

    def _tuner(self, problem: Problem) -> Tuner:
        changes, optimisation = self.changes, self.experiment.optimisation
        return Tuner(
            problem.model,
            problem.hyper,
            problem.train_loss,
            problem.valid_loss,
            method=None if self.method == FIXED else BY_SLUG[self.method],
            augment=problem.augment,
            w0=optimisation.weights(),
            Theta=partial(Adam, lr=changes["theta_adam"])
            if "theta_adam" in changes
            else optimisation.weights(changes.get("theta_rate", 1.0), changes.get("theta_momentum")),
            lam=optimisation.outer,
            sigma=optimisation.outer if optimisation.learn_sigma and "sigma_end" not in changes else None,
            tau=self.settings["tau"],
            T_train=changes.get("T_train", 5),
            T_valid=changes.get("T_valid", 1),
            noise="noise" in changes,
            clip=optimisation.clip,
            seed=self.seed,
        )


def usable(name: str) -> torch.device:
    """Return the device of a name.

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
    """Say how a record came about: what `records` notes, and the device."""
    return records.provenance("torch", "numpy", *packages) | {"device": device, "threads": torch.get_num_threads()}
