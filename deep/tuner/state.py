"""The state of a tuner: what its steps change, and what that belongs to."""

from collections.abc import Mapping
from dataclasses import asdict
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from deep.hyper.parallel import gathered, rank
from reference.beyond.control_variate.updates import extended
from reference.console.command import UserError

if TYPE_CHECKING:
    from deep.tuner.tuner import Tuner


def state_of(tuner: "Tuner") -> dict[str, Any]:
    """A tuner's state; live tensors, as PyTorch's own.

    Raises:
        UserError: the model is detached.
    """
    tuner.net.require_attached()
    return {
        "signature": signature_of(tuner),
        "model": tuner.model.state_dict(),
        "own buffers": gathered(own_buffers(tuner.model)),
        "responses": tuner.net.responses.state_dict(),
        "silent": dict(tuner.net.silent),
        "withdrawn": dict(tuner.net.withdrawn),
        "shared": [declared.name for declared in tuner.hyper.declared if declared.per == "batch"],
        "lam": tuner.hyper.lam.detach().clone(),
        "raw_sigma": tuner.hyper.raw_sigma.detach().clone(),
        "optimisers": {name: optimiser.state_dict() for name, optimiser in tuner.optimisers.items()},
        "generator": tuner.draws.generator.get_state(),
        "steps": (tuner.inner_steps, tuner.outer_steps),
    }


def restore(tuner: "Tuner", saved: dict[str, Any]) -> None:
    """Put a tuner to a state.

    Raises:
        UserError: the state is of another, or of no Tuner, or the model is detached.
    """
    if lacking := [part for part in state_of(tuner) if part not in saved]:
        raise UserError(f"this is no state of a Tuner: it has no {lacking[0]!r}; give what state_dict has returned")
    tuner.net.withdraw(saved["withdrawn"])
    tuner.hyper.share([each.name for each in tuner.hyper.declared if each.presumed and each.name in saved["shared"]])
    require_same_run(saved["signature"], signature_of(tuner))
    tuner.model.load_state_dict(saved["model"])
    set_own_buffers(tuner.model, saved["own buffers"][rank()])
    tuner.net.responses.load_state_dict(saved["responses"])
    tuner.net.silent = dict(saved["silent"])
    with torch.no_grad():
        tuner.hyper.lam.copy_(saved["lam"])
        tuner.hyper.raw_sigma.copy_(saved["raw_sigma"])
    for name, optimiser in tuner.optimisers.items():
        optimiser.load_state_dict(saved["optimisers"][name])
    tuner.draws.generator.set_state(saved["generator"].cpu())
    tuner.inner_steps, tuner.outer_steps = saved["steps"]


def signature_of(tuner: "Tuner") -> dict[str, Any]:
    """What a checkpoint must have in common with the run that reads it; of functions nothing is known."""
    modules = tuner.model.named_modules()
    cadence = (tuner.T_train, tuner.T_valid, tuner.warm_up, tuner.tau, tuner.eps_per, tuner.noise, tuner.clip)
    return {
        "method": None if tuner.method is None else asdict(extended(tuner.method)),
        "hyperparameters": [asdict(declared) for declared in tuner.hyper.declared],
        "sigma at the start": tuner.sigma_at_start,
        "parameters": _shapes(tuner.model),
        "responses": _shapes(tuner.net.responses),
        "layers": {name: (type(module).__name__, module.extra_repr()) for name, module in modules},
        "optimisers": {name: (type(each).__name__, each.defaults) for name, each in tuner.optimisers.items()},
        "steps": cadence,
        "seed": tuner.draws.generator.initial_seed(),
    }


def _shapes(module: nn.Module) -> dict[str, Any]:
    return {name: (str(tensor.dtype), tuple(tensor.shape)) for name, tensor in module.state_dict().items()}


def require_same_run(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Compare what a state belongs to with what is to be set to it.

    Raises:
        UserError: they are not of the same run.
    """
    for part in ours:
        if theirs.get(part) != ours[part]:
            raise UserError(f"the checkpoint is of another run: its {part} differ; use another folder, or start afresh")


def require_no_closure(optimisers: Mapping[str, Optimizer]) -> None:
    """Refuse optimizers that want to evaluate the loss themselves, such as LBFGS.

    Raises:
        UserError: there is one.
    """
    for name, optimiser in optimisers.items():
        closure = signature(optimiser.step).parameters.get("closure")
        if closure is not None and closure.default is Parameter.empty:
            problem = f"{name}={type(optimiser).__name__}: its step needs a closure, and a Tuner gives it gradients"
            raise UserError(f"{problem}; choose an optimizer that steps without one, such as SGD or Adam")


def own_buffers(model: nn.Module) -> dict[str, Tensor]:
    """The buffers that the model's state_dict leaves out: each process has its own, such as where its streams stand."""
    shared = model.state_dict().keys()
    return {name: buffer.detach().cpu().clone() for name, buffer in model.named_buffers() if name not in shared}


def set_own_buffers(model: nn.Module, buffers: dict[str, Tensor]) -> None:
    """Put such buffers to earlier values."""
    for name, value in buffers.items():
        place, _, last = name.rpartition(".")
        module = model.get_submodule(place)
        setattr(module, last, value.to(module.get_buffer(last).device, copy=True))
