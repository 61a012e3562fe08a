"""The experiments of 5.2, 5.3, H.2, H.3 and I: what is trained, with which optimisers, for how long, and from where.

`paper` is H.2 and H.3 to the letter; `cpu` is the same code on less of the same data, with smaller nets and fewer
epochs; `smoke` shows in seconds that everything runs, on data that need no download. What the appendix leaves open is
chosen here: see README.md, table of choices.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch.optim import SGD, Adam, RMSprop
from torch.optim.lr_scheduler import MultiStepLR, ReduceLROnPlateau

from deep.image_problems import alexnet, dropout_schedule, mlp, resnet18, simple_cnn, vgg16
from deep.problems import Problem, Size
from deep.training.run import Scheduler
from deep.text_problems import identity, language_model
from deep.tuner.tuner import OptimizerFactory, Tuner
from reference.updates import BEYOND, DELTA_STN

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
        """The optimiser of w0, or of Θ with a learning rate `factor` times as large and a momentum of its own."""
        return partial(SGD, lr=factor * self.lr, momentum=self.momentum if momentum is None else momentum)

    def schedulers(self, tuner: Tuner, epochs: int) -> list[Scheduler]:
        """The schedulers of w0's and Θ's learning rates."""
        optimisers = [one for name, one in tuner.optimisers.items() if name in ("w0", "Theta")]
        if self.decay is not None:
            after, factor = self.decay
            return [MultiStepLR(one, [max(1, round(after * epochs))], factor) for one in optimisers]
        if self.plateau is not None:
            patience, factor = self.plateau
            # torch counts the epochs without improvement that it bears, the paper those after which it acts; and an
            # improvement below torch's own threshold is one all the same
            return [ReduceLROnPlateau(one, factor=factor, patience=patience - 1, threshold=0.0) for one in optimisers]
        return []

    def stop(self, tuner: Tuner) -> bool:
        """Whether the learning rate has become too small to go on."""
        return tuner.optimisers["w0"].param_groups[0]["lr"] < self.least


@dataclass(frozen=True)
class Experiment:
    """One of the paper's deep experiments.

    Args:
        about: where the paper has it, for `--help`.
        tau: weight of the entropy, by method where methods differ.
        presets: `paper`, `cpu`, `smoke`.
        identity: of data in a folder of one's own; None where only a published set is taken.
        takes: how long a run of Δ-STN takes on two cores, by preset; `paper` from the measured cost of a step.
    """

    name: str
    about: str
    build: Build
    optimisation: Optimisation
    presets: Mapping[str, Size]
    takes: Mapping[str, str]
    tau: float = 1e-3
    tau_of: Mapping[str, float] = field(default_factory=dict)
    identity: Callable[[Path], str] | None = None


EXPERIMENTS = {
    one.name: one
    for one in (
        Experiment(
            "mnist-mlp",
            "H.2.1: MLP, 3 drop rates; table 1, figures 5, 10",
            mlp,
            Optimisation(lr=0.01),
            {
                "paper": Size(epochs=300),
                "cpu": Size(epochs=150, rows=5000, test_rows=2000, width=1 / 3),
                "smoke": Size(epochs=8, warm_up=1, data="digits", width=0.1),
            },
            {"paper": "2.5 hours", "cpu": "3 minutes", "smoke": "3 seconds"},
        ),
        Experiment(
            "fmnist-cnn",
            "H.2.2: SimpleCNN, 4 drop rates and Cutout; table 1, figures 5, 10",
            simple_cnn,
            Optimisation(lr=0.01),
            {
                "paper": Size(epochs=300),
                "cpu": Size(epochs=60, rows=4000, test_rows=2000, width=0.5),
                "smoke": Size(epochs=5, warm_up=1, data="digits", width=0.25),
            },
            {"paper": "5 hours", "cpu": "3 minutes", "smoke": "10 seconds"},
        ),
        Experiment(
            "cifar-alexnet",
            "H.2.3: AlexNet, 8 drop rates and 10 of augmentation; tables 1 and 3, figure 6",
            alexnet,
            Optimisation(lr=0.03, decay=(0.3, 0.2)),
            {
                "paper": Size(epochs=200),
                "cpu": Size(epochs=30, warm_up=2, rows=5000, test_rows=1000, width=0.25),
                "smoke": Size(epochs=2, warm_up=0, data="digits", rows=500, test_rows=100, width=0.125),
            },
            {"paper": "days", "cpu": "4 minutes", "smoke": "20 seconds"},
        ),
        Experiment(
            "cifar-vgg16",
            "H.2.3: VGG16, 16 drop rates and 10 of augmentation; tables 1 and 3, figure 11",
            vgg16,
            Optimisation(lr=0.01, decay=(0.3, 0.2)),
            {
                "paper": Size(epochs=200),
                "cpu": Size(epochs=20, warm_up=2, rows=4000, test_rows=1000, width=0.125),
                "smoke": Size(epochs=2, warm_up=0, data="digits", rows=400, test_rows=100, width=0.0625),
            },
            {"paper": "weeks", "cpu": "5 minutes", "smoke": "30 seconds"},
            tau_of=dict.fromkeys((one.slug for one in (DELTA_STN, *BEYOND)), 1e-4),
        ),
        Experiment(
            "cifar-resnet18",
            "H.2.3: ResNet18, 9 drop rates and 10 of augmentation; tables 1 and 3, figure 12",
            resnet18,
            Optimisation(lr=0.05, decay=(0.3, 0.2)),
            {
                "paper": Size(epochs=200),
                "cpu": Size(epochs=15, warm_up=1, rows=4000, test_rows=1000, width=0.125),
                "smoke": Size(epochs=2, warm_up=0, data="digits", rows=300, test_rows=100, width=0.0625),
            },
            {"paper": "weeks", "cpu": "7 minutes", "smoke": "30 seconds"},
            tau=1e-4,
        ),
        Experiment(
            "ptb-lstm",
            "H.3: LSTM, 5 drop rates, AR and TAR; table 1, figure 13",
            language_model,
            Optimisation(
                lr=30.0, momentum=0.0, plateau=(5, 0.25), least=3e-4, clip=0.25,
                outer=partial(Adam, lr=0.01), learn_sigma=False,
            ),
            {
                "paper": Size(epochs=1000, warm_up=10, batch=40),
                "cpu": Size(epochs=18, warm_up=2, data="persuasion", width=0.2, batch=20, stream=35),
                "smoke": Size(epochs=1, warm_up=0, data="persuasion", rows=6000, width=0.05, batch=10, stream=20),
            },
            {"paper": "weeks", "cpu": "8 minutes", "smoke": "30 seconds"},
            identity=identity,
        ),
        Experiment(
            "mnist-dropout-schedule",
            "I.1: the MLP's input drop rate alone, σ fixed at 1; table 4, figure 14",
            dropout_schedule,
            Optimisation(lr=0.01, learn_sigma=False),
            {
                "paper": Size(epochs=300),
                "cpu": Size(epochs=100, rows=5000, test_rows=2000, width=1 / 3),
                "smoke": Size(epochs=8, warm_up=1, data="digits", width=0.1),
            },
            {"paper": "2.5 hours", "cpu": "2 minutes", "smoke": "3 seconds"},
        ),
        Experiment(
            "sensitivity",
            "I.2: SimpleCNN at fixed perturbation scales and at other intervals; figures 15, 16",
            simple_cnn,
            Optimisation(lr=0.01, learn_sigma=False),
            {
                "paper": Size(epochs=300),
                "cpu": Size(epochs=50, rows=4000, test_rows=1000, width=0.5),
                "smoke": Size(epochs=3, warm_up=1, data="digits", width=0.25),
            },
            {"paper": "5 hours each", "cpu": "3 minutes each", "smoke": "5 seconds each"},
        ),
    )
}  # fmt: skip
