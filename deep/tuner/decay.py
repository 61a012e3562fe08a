"""The optimizer's own weight decay as a hyperparameter: at rest ∇L + γ D w = 0, a penalty (γ/2) wᵀDw in its metric D.

    name      symbol         shape
    gamma     γ = s(λ+ε)     (n,)      the hyperparameter "weight_decay", which w0's optimizer reads at each step
    metric    D              like w    I for SGD and for decay that is added to the gradient; √v̂ + e for AdamW

The optimizer's step decays w0 by itself. What it rests at answers γ as ridge in the metric D does
(`reference/beyond/theory/decoupled_decay.py`), so Θ's loss gets (γ/2) (w0 + Δw)ᵀD(w0 + Δw), D and w0 held fixed.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from deep.responses.weights import differential
from deep.tuner.hypernet import Hypernetwork
from reference.console.command import UserError

NAME = "weight_decay"


class WeightDecay:
    """The decay of w0's optimizer, where a hyperparameter is called so.

    Groups that have none at the start, such as of biases and norms, keep none; unless no group has.

    Raises:
        UserError: the optimizer has no weight decay, or one whose metric is not known.
    """

    def __init__(self, net: Hypernetwork, optimizer: Optimizer) -> None:
        self.net, self.optimizer = net, optimizer
        if any(NAME not in group for group in optimizer.param_groups):
            problem = f"w0={type(optimizer).__name__} has no weight decay"
            raise UserError(f"{problem}; choose another optimizer, such as SGD or AdamW, or do not declare {NAME!r}")
        if type(optimizer).__module__.split(".")[0] != "torch":
            problem = f"the metric in which w0={type(optimizer).__name__} decays weights is not known"
            raise UserError(f"{problem}; choose an optimizer of torch.optim, or do not declare {NAME!r}")
        every = optimizer.param_groups
        self.groups = [group for group in every if group[NAME]] or every

    def set(self) -> None:
        """Let the optimizer's next step decay at s(λ)."""
        with torch.no_grad(), self.net.hyper.during(self.net.hyper.centre()):
            gamma = float(self.net.hyper[NAME])
        for group in self.groups:
            group[NAME] = gamma

    def penalty(self) -> Tensor:
        """(γ/2) wᵀDw of the pass under way, its mean over examples; a function of Θ alone."""
        net, now = self.net, self.net.hyper.now
        assert now.c is not None
        responses = {id(w): response for _, w, response in net}
        total = now.c.new_zeros(1)
        for w, metric in self._metrics():
            if (response := responses.get(id(w))) is None:
                continue
            if now.kind == "differential":
                total = total + differential(2 * response.inner(w.detach(), now.c, metric))
            else:
                total = total + response.squared_norm(w.detach(), now.c, metric)
        return (net.hyper[NAME] / 2 * total).mean()

    def _metrics(self) -> Iterator[tuple[Tensor, Any]]:
        """Each decayed parameter with D; before its first step an Adam has none."""
        for group in self.groups:
            decoupled = isinstance(self.optimizer, Adam) and group.get("decoupled_weight_decay", False)
            for w in group["params"]:
                state = self.optimizer.state.get(w, {})
                if not decoupled:
                    yield w, 1.0
                elif "exp_avg_sq" in state:
                    square = state.get("max_exp_avg_sq", state["exp_avg_sq"])
                    yield w, (square / (1 - group["betas"][1] ** float(state["step"]))).sqrt() + group["eps"]


def decay_of(net: Hypernetwork, optimizer: Optimizer, unperturbed: bool) -> WeightDecay | None:
    """The decay as a hyperparameter, None where none is declared.

    Raises:
        UserError: w0's pass is at perturbed weights, of which the optimizer decays a part alone.
    """
    if NAME not in net.hyper:
        return None
    if not unperturbed:
        problem = f"{NAME!r} is the optimizer's own decay, which this method's w0 is not alone in answering"
        raise UserError(f"{problem}; choose Centered STN or Δ-STN, or a penalty by squared_norm")
    return WeightDecay(net, optimizer)
