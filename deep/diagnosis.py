"""Where a loss that is not finite came from: a parameter, a hyperparameter, a layer's output, or the loss itself."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from deep.hypernet import Hypernetwork
from deep.updates import Objective

TRY = "lower a learning rate, clip, or narrow a bound"


def explain(net: Hypernetwork, objective: Objective, x: Any, step: int) -> str:
    """One line: what first stopped being finite, looked for in this order, and what to try."""
    where = weights(net) or _output(net, objective, x) or "in the loss function itself"
    return f"the loss is not finite after {step} inner steps: {where}; {TRY}"


def weights(net: Hypernetwork) -> str:
    """What of w0, Θ, λ and σ is not finite; empty where everything is."""
    return _parameter(net) or _hyperparameter(net)


def _finite(value: Any) -> bool:
    return not isinstance(value, Tensor) or not value.is_floating_point() or bool(torch.isfinite(value).all())


def _parameter(net: Hypernetwork) -> str:
    for name, parameter in net.model.named_parameters():
        if not _finite(parameter):
            return f"parameter {name!r} is not finite"
    for name, parameter in net.branches.named_parameters():
        if not _finite(parameter):
            return f"the response of layer {name.split('.')[0].replace('/', '.')!r} is not finite"
    return ""


def _hyperparameter(net: Hypernetwork) -> str:
    for name, lam, raw in zip(net.hyper.names, net.hyper.lam, net.hyper.raw_sigma, strict=True):
        if not (_finite(lam) and _finite(raw)):
            return f"hyperparameter {name!r} is not finite"
    return ""


def _output(net: Hypernetwork, objective: Objective, x: Any) -> str:
    """The first layer whose output is not finite at the current weights."""
    found: list[str] = []

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if not all(map(_finite, tree_leaves(output))):
                found.append(name)

        return module.register_forward_hook(hook)

    if not all(map(_finite, tree_leaves(x))):
        return "the inputs are not finite"
    handles = [watch(name, module) for name, module in net.model.named_modules() if not list(module.children())]
    try:
        with torch.no_grad():
            objective.predict(x)
    finally:
        for handle in handles:
            handle.remove()
    return f"layer {found[0]!r} puts out numbers that are not finite" if found else ""
