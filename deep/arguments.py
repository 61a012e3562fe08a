"""What a `Tuner`, and `fit`, may be given: of the right kind, and numbers that mean something.

Raises UserError wherever it refuses.
"""

import math
from collections.abc import Mapping
from inspect import Parameter, signature
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from deep.batches import Batches
from deep.contexts import evaluating
from deep.hypernet import Hypernetwork
from deep.hyperparameters import Hyperparameters
from deep.updates import Objective, alone, evaluate
from reference.command import UserError
from reference.updates import METHODS, Method


def refuse_kinds(hyper: object, method: object) -> None:
    """A list where Hyperparameters belong, or a method by its name alone."""
    if not isinstance(hyper, Hyperparameters):
        raise UserError(
            f"hyper is a {type(hyper).__name__}; give Hyperparameters([...]), such as of dropout_rates(model)"
        )
    if method is not None and not isinstance(method, Method):
        names = ", ".join(one.name for one in METHODS)
        what = f"method={method!r} is no method"
        raise UserError(f"{what}; give one of reference.updates, such as DELTA_STN ({names}), or None for a plain run")


def refuse_numbers(T_train: object, T_valid: object, warm_up: object, tau: float, clip: float | None) -> None:
    """Out of range, not whole, or not finite."""
    refuse_count("T_train", T_train, "inner steps", least=1)
    refuse_count("T_valid", T_valid, "outer steps")
    refuse_count("warm_up", warm_up, "inner steps")
    if not math.isfinite(tau):
        raise UserError(f"tau={tau!r} is not a finite number")
    if clip is not None and not clip > 0:
        raise UserError(f"clip={clip!r} is not a norm above zero; leave it out for no clipping")


def refuse_count(name: str, count: object, what: str, least: int = 0) -> None:
    """Fractions, and numbers below the least."""
    if not isinstance(count, Integral) or count < least:
        raise UserError(f"{name}={count!r} is not a whole number of {what} from {least}")


def refuse_without_differential(net: Hypernetwork) -> None:
    """Layers that the control variate cannot pass through."""
    for name, branch in net.named():
        if not branch.has_differential():
            what = f"layer {name!r}: {type(branch).__name__} has a forward of its own without a differential pass"
            raise UserError(f"{what}; leave it without a response (without_response), or choose no control variate")


def refuse_closures(optimisers: Mapping[str, Optimizer]) -> None:
    """Optimizers that want to evaluate the loss themselves, such as LBFGS."""
    for name, one in optimisers.items():
        closure = signature(one.step).parameters.get("closure")
        if closure is not None and closure.default is Parameter.empty:
            what = f"{name}={type(one).__name__}: its step needs a closure, and a Tuner gives it gradients"
            raise UserError(f"{what}; choose an optimizer that steps without one, such as SGD or Adam")


def refuse_alone(net: Hypernetwork, objective: Objective, batches: Batches) -> None:
    """A last batch of one example, where a BatchNorm in training would have one value of each channel.

    What it would have is seen in evaluation mode, where no pass moves anything.
    """
    norms = [module for module in net.model.modules() if isinstance(module, _BatchNorm) and module.training]
    if batches.last != 1 or not norms:
        return

    def hook(_module: nn.Module, inputs: tuple[Tensor]) -> None:
        if inputs[0].numel() == inputs[0].shape[1]:
            raise alone()

    handles = [module.register_forward_pre_hook(hook) for module in norms]
    x, t = batches.batch(len(batches) - 1)
    try:
        with torch.no_grad(), evaluating(net.model):
            evaluate(net, objective, x, t, net.hyper.centre(1))
    finally:
        for handle in handles:
            handle.remove()
