"""How good is λ's gradient on a deep net? Measured on one so small that it has an exact hypergradient.

    python -m benchmarks.hypergradient [--epochs 120] [--seeds 3]

The net: digits, two hidden layers of tanh, m = 1930 weights in float64. Four hyperparameters: each layer's log decay,
and the size α of noise on the inputs, x (1 + α u) with u drawn once for each row, so that L_T has no randomness left.

name         meaning
converged    Eqn. 2.4 at r(λ): the weights trained to the end from where they are, and the dense Hessian there
unrolled     the same of K steps of gradient descent from the present weights, differentiated
STN, ...     ∇_λ of Eqn. 2.7 over all validation rows, an ε for each, as a step of the method would see it
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian, jacfwd
from torch.optim import SGD, Adam, Optimizer
from tqdm import tqdm

from deep import Hyperparameter, Hyperparameters, Tuner
from deep.tuner.gradients import outer_gradients
from reference.beyond.control_variate.updates import DELTA_STN_CV
from reference.console.argument_types import path, whole_number, writable
from reference.console.command import Parser
from reference.console.command import run as run_command
from reference.console.records import Writer, provenance
from reference.rule.updates import CENTERED_STN, DELTA_STN, STN, Method

EXPERIMENT = "hypergradient"
HIDDEN, ROWS, BATCH, K = 20, 1200, 100, 100
DECAYS = ("decay_1", "decay_2", "decay_3")
AT = (0, 2, 5, 10, 20, 40, 80, 120)
"""Epochs after which a run is measured."""

PLAIN = partial(SGD, lr=0.05, momentum=0.9)
METHODS: Mapping[str, tuple[Method, Callable[..., Optimizer]]] = {
    "STN": (STN, PLAIN),
    "Centered STN": (CENTERED_STN, PLAIN),
    "Δ-STN": (DELTA_STN, PLAIN),
    "Δ-STN, Adam on Θ": (DELTA_STN, partial(Adam, lr=1e-3)),
    "Δ-STN CV": (DELTA_STN_CV, PLAIN),
    "Δ-STN CV, Adam on Θ": (DELTA_STN_CV, partial(Adam, lr=1e-3)),
}


@dataclass(frozen=True)
class Task:
    """The two losses as functions of λ (4,) and of all weights in one vector (m,)."""

    net: nn.Module
    x: Tensor
    u: Tensor
    t: Tensor
    x_valid: Tensor
    t_valid: Tensor

    @staticmethod
    def of(seed: int) -> "Task":
        """Draw the split, the noise and the start."""
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        images, labels = load_digits(return_X_y=True)
        x, t = torch.tensor(images / 16), torch.tensor(labels)
        order = torch.randperm(len(x), generator=generator)
        train, valid = order[:ROWS], order[ROWS:]
        u = torch.randn(ROWS, x.shape[1], generator=generator, dtype=x.dtype)
        layers = [nn.Linear(64, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 10)]
        return Task(nn.Sequential(*layers).double(), x[train], u, t[train], x[valid], t[valid])

    def weights(self) -> Tensor:
        """Return the net's weights as one vector."""
        return torch.cat([w.detach().reshape(-1) for w in self.net.parameters()])

    def outputs(self, w: Tensor, x: Tensor) -> Tensor:
        """f(x; w)."""
        parts = w.split([p.numel() for p in self.net.parameters()])
        named = zip(self.net.named_parameters(), parts, strict=True)
        return functional_call(self.net, {name: part.reshape(p.shape) for (name, p), part in named}, (x,))

    def training_loss(self, lam: Tensor, w: Tensor) -> Tensor:
        """L_T(λ, w)."""
        sizes = [sum(p.numel() for p in layer.parameters()) for layer in self.net.children()]
        layers = w.split([size for size in sizes if size])
        penalty = sum(e.exp() / 2 * part.square().sum() for e, part in zip(lam, layers, strict=False))
        return F.cross_entropy(self.outputs(w, self.x * (1 + lam[3].exp() * self.u)), self.t) + penalty

    def validation_loss(self, w: Tensor) -> Tensor:
        """L_V(w)."""
        return F.cross_entropy(self.outputs(w, self.x_valid), self.t_valid)

    def converged(self, lam: Tensor, start: Tensor) -> Tensor:
        """Eqn. 2.4 at r(λ): -Bᵀ H⁻¹ ∂L_V/∂w, B = ∂²L_T/∂w∂λ.

        Raises:
            ArithmeticError: the weights have not come to rest at a strict minimum.
        """
        w = self.rest(lam, start)
        H = hessian(self.training_loss, 1)(lam, w)
        B = jacfwd(grad(self.training_loss, 1), 0)(lam, w)
        if torch.linalg.eigvalsh(H)[0] <= 0:
            raise ArithmeticError("the training loss has no strict minimum here")
        return -B.mT @ torch.linalg.solve(H, grad(self.validation_loss)(w))

    def rest(self, lam: Tensor, start: Tensor) -> Tensor:
        """Train from some weights to the end: L-BFGS, then Newton's steps."""
        w = start.clone().requires_grad_()
        optimiser = torch.optim.LBFGS(
            [w], max_iter=5000, tolerance_grad=1e-7, history_size=50, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimiser.zero_grad()
            loss = self.training_loss(lam, w)
            loss.backward()
            return loss

        optimiser.step(closure)
        w = w.detach()
        for _ in range(20):
            if (g := grad(self.training_loss, 1)(lam, w)).norm() < 1e-12:
                return w
            w = w - torch.linalg.solve(hessian(self.training_loss, 1)(lam, w), g)
        raise ArithmeticError("Newton's steps do not bring the weights to rest")

    def unrolled(self, lam: Tensor, start: Tensor, step: float = 0.1) -> Tensor:
        """The gradient in λ of L_V after K steps of gradient descent."""
        lam = lam.clone().requires_grad_()
        w = start.clone().requires_grad_()
        for _ in range(K):
            (g,) = torch.autograd.grad(self.training_loss(lam, w), w, create_graph=True)
            w = w - step * g
        return torch.autograd.grad(self.validation_loss(w), lam)[0]


def tuner_of(task: Task, name: str, seed: int) -> Tuner:
    """Make a tuner of the task by a method."""
    method, Theta = METHODS[name]
    hyper = Hyperparameters(
        [Hyperparameter(decay, start=1e-3) for decay in DECAYS] + [Hyperparameter("noise", start=0.1)]
    )

    def train_loss(outputs: Tensor, t: Tensor) -> Tensor:
        penalties = [hyper[decay] / 2 * tuner.squared_norm(str(2 * k)) for k, decay in enumerate(DECAYS)]
        return F.cross_entropy(outputs, t) + torch.stack(penalties).sum(0).mean()

    tuner = Tuner(
        task.net, hyper, train_loss, F.cross_entropy, method=method, w0=PLAIN, Theta=Theta, sigma=None, seed=seed,
        augment=lambda batch, draws: batch["x"] * (1 + hyper["noise"][:, None] * batch["u"]),
    )  # fmt: skip
    return tuner


def rows(name: str, seed: int, epochs: int) -> Iterator[dict[str, Any]]:
    """Train by a method, and measure its gradient of λ on the way."""
    task = Task.of(seed)
    tuner = tuner_of(task, name, seed)
    order = torch.Generator().manual_seed(seed)
    for epoch in range(epochs + 1):
        if epoch in AT:
            yield {"method": name, "seed": seed, "epoch": epoch} | measured(task, tuner)
        for batch in torch.randperm(ROWS, generator=order).split(BATCH):
            tuner.inner_step({"x": task.x[batch], "u": task.u[batch]}, task.t[batch])
            for _ in range(tuner.due()):
                tuner.outer_step(task.x_valid, task.t_valid)


def measured(task: Task, tuner: Tuner) -> dict[str, float]:
    """Errors and cosines of a method's gradient of λ against the two exact ones, and where the run is."""
    assert tuner.method is not None
    lam, n = tuner.hyper.lam.detach().double(), len(task.x_valid)
    z = torch.randn(n, len(lam), generator=torch.Generator().manual_seed(0), dtype=tuner.hyper.lam.dtype)
    estimate = (
        outer_gradients(tuner.method, tuner.net, tuner.validation, z, task.x_valid, task.t_valid, n)
        .gradients[0]
        .double()
    )
    with torch.no_grad():
        w = task.weights() + (0 if tuner.method.centred else change(tuner))
        row = {"train_loss": float(task.training_loss(lam, w)), "valid_loss": float(task.validation_loss(w))}
    for kind, exact in (("converged", task.converged(lam, w)), ("unrolled", task.unrolled(lam, w))):
        row[f"{kind}_norm"] = float(exact.norm())
        row[f"{kind}_error"] = float((estimate - exact).norm() / exact.norm())
        row[f"{kind}_cosine"] = float(F.cosine_similarity(estimate, exact, dim=0))
    return row


def change(tuner: Tuner) -> Tensor:
    """Θc of the current weights in one vector, where a method is not centred."""
    with torch.no_grad():
        changes = {name: response.changes(tuner.hyper.lam[None])[0] for name, _, response in tuner.net}
    return torch.cat([changes[name].reshape(-1) for name, _ in tuner.model.named_parameters()])


def main() -> int:
    """Run every method and write the record."""
    parser = Parser(prog="python -m benchmarks.hypergradient", description="λ's gradient on a net with an exact one.")
    parser.add_argument("--epochs", type=whole_number(0, 10000), default=120, metavar="E")
    parser.add_argument("--seeds", type=whole_number(1, 100), default=3, metavar="N")
    parser.add_argument("--out", type=path, default=Path("out/records"), metavar="DIR", help="default: out/records")
    options = parser.parse_args()
    settings = {"experiment": EXPERIMENT, "epochs": options.epochs, "seeds": options.seeds, "hidden": HIDDEN, "K": K}
    runs = [(name, seed) for seed in range(options.seeds) for name in METHODS]
    with Writer(writable(options.out) / EXPERIMENT, settings) as writer:
        writer.facts |= provenance("torch", "numpy", "scikit-learn")
        for name, seed in tqdm(runs, unit="run"):
            for row in rows(name, seed, options.epochs):
                writer.row(row)
    print(f"the record is in {options.out / EXPERIMENT}")
    return 0


if __name__ == "__main__":
    run_command(main)
