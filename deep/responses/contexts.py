"""What stands still while a pass runs: weights without a graph, running statistics, and modules in evaluation mode."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """No graph is built for these parameters inside the block, and no gradient reaches them."""
    changed = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in changed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in changed:
            parameter.requires_grad_(True)


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Batch statistics are used, but running ones do not move; other buffers that do are put back."""
    changed = [
        module for module in model.modules() if getattr(module, "track_running_stats", False) and module.training
    ]
    buffers = [(buffer, buffer._version, buffer.detach().clone()) for buffer in model.buffers()]
    places = [(module, dict(module._buffers)) for module in model.modules() if module._buffers]
    # A module of one's own may have the first alone.
    momenta = [getattr(module, "momentum", None) for module in changed]
    for module in changed:
        # BatchNorm reads the first, InstanceNorm only the second.
        module.track_running_stats, module.momentum = False, 0.0  # type: ignore[assignment]
    try:
        yield
    finally:
        for module, momentum in zip(changed, momenta, strict=True):
            module.track_running_stats, module.momentum = True, momentum  # type: ignore[assignment]
        for module, buffers_before in places:
            module._buffers.update(buffers_before)
        with torch.no_grad():
            for buffer, version, value in buffers:
                if buffer._version != version:
                    buffer.copy_(value)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode; afterwards each in the mode it was in."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
