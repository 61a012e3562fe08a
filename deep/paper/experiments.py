"""The experiments of 5.2, 5.3, H.2, H.3 and I: what is trained, with which optimisers, for how long, and from where.

`paper` is H.2 and H.3 to the letter; `cpu` is the same code on less of the same data, with smaller nets and fewer
epochs; `smoke` shows in seconds that everything runs, on data that need no download. What the appendix leaves open is
chosen here: see CHOICES.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch.optim import SGD, Adam, RMSprop
from torch.optim.lr_scheduler import MultiStepLR, ReduceLROnPlateau

from deep.paper.problems import (
    ALEXNET,
    MLP,
    RESNET18,
    SIMPLE_CNN,
    VGG16,
    Problem,
    Size,
    dropout_schedule,
    language_model,
    text_digest,
)
from deep.training.run import Scheduler
from deep.tuner.tuner import OptimizerFactory, Tuner
from reference.beyond.control_variate.updates import BEYOND
from reference.rule.updates import DELTA_STN

Build = Callable[[Size, float | None, int, Path | None, torch.device], Problem]
"""(size, start of the drop rates, seed, data_home, device) -> problem."""


@dataclass(frozen=True)
class Optimisation:
    """How the weights (w0 and Θ alike) and the hyperparameters move.

    Args:
        decay: learning rates of w0 and Θ are multiplied by a factor after an epoch, given as a part of all epochs.
        plateau: or divided by `1/factor` when the validation loss has not improved for so many epochs.
        least: training stops when w0's learning rate is below this.
        learn_sigma: whether σ moves; otherwise it stays at its start.
    """

    lr: float
    momentum: float = 0.9
    decay: tuple[float, float] | None = None
    plateau: tuple[int, float] | None = None
    least: float = 0.0
    clip: float | None = None
    outer: OptimizerFactory = partial(RMSprop, lr=0.01)  # noqa: RUF009  (frozen, and a partial holds no state)
    learn_sigma: bool = True

    def weights(self, factor: float = 1.0, momentum: float | None = None) -> OptimizerFactory:
        """Return the optimiser of w0, or of Θ at `factor` times the learning rate and another momentum."""
        return partial(SGD, lr=factor * self.lr, momentum=self.momentum if momentum is None else momentum)

    def schedulers(self, tuner: Tuner, epochs: int) -> list[Scheduler]:
        """Return the schedulers of w0's and Θ's learning rates."""
        optimisers = [tuner.optimisers[name] for name in ("w0", "Theta") if name in tuner.optimisers]
        if self.decay is not None:
            after, factor = self.decay
            return [MultiStepLR(optimiser, [max(1, round(after * epochs))], factor) for optimiser in optimisers]
        if self.plateau is not None:
            patience, factor = self.plateau
            # torch counts the epochs without improvement that it bears, the paper those after which it acts
            options = {"factor": factor, "patience": patience - 1, "threshold": 0.0}
            return [ReduceLROnPlateau(optimiser, **options) for optimiser in optimisers]
        return []

    def stop(self, tuner: Tuner) -> bool:
        """Tell whether the learning rate has become too small to go on."""
        return tuner.optimisers["w0"].param_groups[0]["lr"] < self.least


@dataclass(frozen=True)
class Experiment:
    """One of the paper's deep experiments.

    Args:
        about: where the paper has it, for `--help`.
        tau: weight of the entropy, by method where methods differ.
        presets: size, and how long a run of Δ-STN takes on two cores (`paper`: from the measured cost of a step).
        data_digest: of data in a folder; None where only a published set is taken, which its name identifies.
    """

    name: str
    about: str
    build: Build
    optimisation: Optimisation
    presets: Mapping[str, tuple[Size, str]]
    tau: float = 1e-3
    tau_of: Mapping[str, float] = field(default_factory=dict)
    data_digest: Callable[[Path], str] | None = None

    @property
    def times(self) -> str:
        """How long a run takes, preset by preset."""
        return ", ".join(f"{preset} {time}" for preset, (_, time) in self.presets.items())


EXPERIMENTS = {experiment.name: experiment for experiment in (
    Experiment(
        "mnist-mlp", "H.2.1: MLP, 3 drop rates; table 1, figures 5, 10", MLP, Optimisation(lr=0.01), {
            "paper": (Size(epochs=300), "2.5 hours"),
            "cpu": (Size(epochs=150, rows=5000, test_rows=2000, width=1 / 3), "3 minutes"),
            "smoke": (Size(epochs=8, warm_up=1, data="digits", width=0.1), "3 seconds"),
        },
    ),
    Experiment(
        "fmnist-cnn", "H.2.2: SimpleCNN, 4 drop rates and Cutout; table 1, figures 5, 10",
        SIMPLE_CNN, Optimisation(lr=0.01), {
            "paper": (Size(epochs=300), "5 hours"),
            "cpu": (Size(epochs=60, rows=4000, test_rows=2000, width=0.5), "3 minutes"),
            "smoke": (Size(epochs=5, warm_up=1, data="digits", width=0.25), "10 seconds"),
        },
    ),
    Experiment(
        "cifar-alexnet", "H.2.3: AlexNet, 8 drop rates and 10 of augmentation; tables 1 and 3, figure 6",
        ALEXNET, Optimisation(lr=0.03, decay=(0.3, 0.2)), {
            "paper": (Size(epochs=200), "days"),
            "cpu": (Size(epochs=30, warm_up=2, rows=5000, test_rows=1000, width=0.25), "4 minutes"),
            "smoke": (Size(epochs=2, warm_up=0, data="digits", rows=500, test_rows=100, width=0.125), "20 seconds"),
        },
    ),
    Experiment(
        "cifar-vgg16", "H.2.3: VGG16, 16 drop rates and 10 of augmentation; tables 1 and 3, figure 11",
        VGG16, Optimisation(lr=0.01, decay=(0.3, 0.2)), {
            "paper": (Size(epochs=200), "weeks"),
            "cpu": (Size(epochs=20, warm_up=2, rows=4000, test_rows=1000, width=0.125), "5 minutes"),
            "smoke": (Size(epochs=2, warm_up=0, data="digits", rows=400, test_rows=100, width=0.0625), "30 seconds"),
        },
        tau_of=dict.fromkeys((method.slug for method in (DELTA_STN, *BEYOND)), 1e-4),
    ),
    Experiment(
        "cifar-resnet18", "H.2.3: ResNet18, 9 drop rates and 10 of augmentation; tables 1 and 3, figure 12",
        RESNET18, Optimisation(lr=0.05, decay=(0.3, 0.2)), {
            "paper": (Size(epochs=200), "weeks"),
            "cpu": (Size(epochs=15, warm_up=1, rows=4000, test_rows=1000, width=0.125), "7 minutes"),
            "smoke": (Size(epochs=2, warm_up=0, data="digits", rows=300, test_rows=100, width=0.0625), "30 seconds"),
        },
        tau=1e-4,
    ),
    Experiment(
        "ptb-lstm", "H.3: LSTM, 5 drop rates, AR and TAR; table 1, figure 13", language_model,
        Optimisation(
            lr=30.0, momentum=0.0, plateau=(5, 0.25), least=3e-4, clip=0.25,
            outer=partial(Adam, lr=0.01), learn_sigma=False,
        ), {
            "paper": (Size(epochs=1000, warm_up=10, batch=40), "weeks"),
            "cpu": (Size(epochs=18, warm_up=2, data="persuasion", width=0.2, batch=20, stream=35), "8 minutes"),
            "smoke": (
                Size(epochs=1, warm_up=0, data="persuasion", rows=6000, width=0.05, batch=10, stream=20), "30 seconds",
            ),
        },
        data_digest=text_digest,
    ),
    Experiment(
        "mnist-dropout-schedule", "I.1: the MLP's input drop rate alone, σ fixed at 1; table 4, figure 14",
        dropout_schedule, Optimisation(lr=0.01, learn_sigma=False), {
            "paper": (Size(epochs=300), "2.5 hours"),
            "cpu": (Size(epochs=100, rows=5000, test_rows=2000, width=1 / 3), "2 minutes"),
            "smoke": (Size(epochs=8, warm_up=1, data="digits", width=0.1), "3 seconds"),
        },
    ),
    Experiment(
        "sensitivity", "I.2: SimpleCNN at fixed perturbation scales and at other intervals; figures 15, 16",
        SIMPLE_CNN, Optimisation(lr=0.01, learn_sigma=False), {
            "paper": (Size(epochs=300), "5 hours each"),
            "cpu": (Size(epochs=50, rows=4000, test_rows=1000, width=0.5), "3 minutes each"),
            "smoke": (Size(epochs=3, warm_up=1, data="digits", width=0.25), "5 seconds each"),
        },
    ),
)}  # fmt: skip
