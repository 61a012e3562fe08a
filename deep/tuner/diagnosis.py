"""Where a loss that is not finite came from."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves

from deep.hyper.hyperparameters import Pass
from deep.hyper.parallel import anywhere, examples, gathered
from deep.responses.contexts import evaluating, frozen_statistics
from deep.responses.linearised import dual_level
from deep.tuner.gradients import Evaluation, Objective
from deep.tuner.hypernet import Hypernetwork
from reference.console.command import InputWarning, UserError


class NotFinite(UserError):
    """A run has diverged: what a search bears in a trial of its own."""


TRY = "lower a learning rate, clip, or narrow a bound"


def require_finite(
    net: Hypernetwork,
    objective: Objective,
    seen: Evaluation,
    x: Any,
    step: int,
    of: Callable[[], Pass],
    evaluates: bool,
) -> None:
    """Go on only where the loss of a pass is finite in every process.

    Args:
        of: the pass that the loss was of.
        evaluates: it was in evaluation mode.

    Raises:
        NotFinite: it is not.
    """
    if anywhere(not torch.isfinite(seen.loss), net.hyper.lam.device):
        now = of()
        centre = len(now.lam) == 1 and now.c is None
        with evaluating(net.model) if evaluates else nullcontext():
            raise NotFinite(explain(net, objective, x, step, None if centre else now))


def explain(net: Hypernetwork, objective: Objective, x: Any, step: int, perturbed: Pass | None = None) -> str:
    """One line: what first stopped being finite, looked for in this order, and what to try.

    Of several processes each must ask: all take each look together, and say the same.

    Args:
        perturbed: the pass at ε ≠ 0 that the loss was of, looked at after the current weights.
    """
    where = "in the loss function itself"
    for finding in _findings(net, objective, x, perturbed):
        if faults := [each for each in gathered(finding) if each.fault]:
            where = min(faults).fault
            break
    return f"the loss is not finite after {step} inner steps: {where}; {TRY}"


class Finding(NamedTuple):
    """What is not finite, empty where everything is; and how many layers of the pass were."""

    before: int
    fault: str


def _findings(net: Hypernetwork, objective: Objective, x: Any, perturbed: Pass | None) -> Iterator[Finding]:
    """One after another, each taken only when all before it have found nothing in any process."""
    yield Finding(0, weights(net))
    yield Finding(0, "" if all(map(_finite, tree_leaves(x))) else "the inputs are not finite")
    centre = net.hyper.centre(examples(x))
    yield Finding(0, _value(net, centre, "s(λ)"))
    yield _output(net, objective, x, centre)
    if perturbed is not None:
        there = "at perturbed weights "
        yield Finding(0, _value(net, perturbed, f"{there}s(λ + ε)"))
        yield _output(net, objective, x, perturbed, there)


def weights(net: Hypernetwork) -> str:
    """What of w0, Θ, λ and σ is not finite; empty where everything is."""
    return _parameter(net) or _hyperparameter(net)


def warn_stuck(optimisers: Mapping[str, Optimizer]) -> None:
    """Warn where an optimiser of λ or σ holds a number that is not finite, such as a mean square that has overflowed.

    RMSprop then divides by infinity: λ stands still from there on, and the loss need not show it.
    """
    outer = [list(optimiser.state.values()) for name, optimiser in optimisers.items() if name in ("lam", "sigma")]
    if not all(map(_finite, tree_leaves(outer))):
        problem = "hyperparameters move no more, for their gradients' squares have overflowed: Θ has probably diverged"
        warnings.warn(f"{problem}; {TRY}", InputWarning, stacklevel=3)


def _finite(value: Any) -> bool:
    """A number, and its tangent where it has one."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return True
    return all(bool(torch.isfinite(part).all()) for part in forward_ad.unpack_dual(value) if part is not None)


def _parameter(net: Hypernetwork) -> str:
    for name, parameter in net.model.named_parameters():
        if not _finite(parameter):
            return f"parameter {name!r} is not finite"
    for name, _, response in net:
        if not all(map(_finite, response.parameters())):
            return f"the response of parameter {name!r} is not finite"
    return ""


def _hyperparameter(net: Hypernetwork) -> str:
    for name, lam, raw in zip(net.hyper.names, net.hyper.lam, net.hyper.raw_sigma, strict=True):
        if not (_finite(lam) and _finite(raw)):
            return f"hyperparameter {name!r} is not finite"
    return ""


def _value(net: Hypernetwork, now: Pass, which: str) -> str:
    for declared, lam in zip(net.hyper.declared, now.lam.T, strict=True):
        if not _finite(declared(lam)):
            return f"{which} of hyperparameter {declared.name!r} is not finite"
    return ""


def _output(net: Hypernetwork, objective: Objective, x: Any, now: Pass, there: str = "") -> Finding:
    """The first layer whose output is not finite in a pass."""
    findings: list[Finding] = []

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            finite = all(map(_finite, tree_leaves(output)))
            fault = "" if finite else f"{there}layer {name!r} puts out numbers that are not finite"
            findings.append(Finding(len(findings), fault))

        return module.register_forward_hook(hook)

    handles = [watch(name, module) for name, module in net.model.named_modules() if not list(module.children())]
    try:
        with (
            torch.no_grad(),
            frozen_statistics(net.model),
            net.through(now),
            dual_level(),
            objective.autocast(),
        ):
            objective.predict(x)
    finally:
        for handle in handles:
            handle.remove()
    return next((finding for finding in findings if finding.fault), Finding(0, ""))
