"""A batch of one example, which a BatchNorm in training cannot normalise."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from deep.batches import Batches
from deep.tuner.contexts import evaluating
from deep.tuner.gradients import Objective, alone, evaluate
from deep.tuner.hypernet import Hypernetwork


def require_no_batch_of_one(net: Hypernetwork, objective: Objective, batches: Batches) -> None:
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
