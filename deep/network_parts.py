"""What the networks of H.2 share: standardised inputs, what follows a convolution, dense layers, ResNet's block."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Images = Float[Tensor, "n c h w"]


class Standardise(nn.Module):
    """(x - mean)/scale, each channel's own over all images and pixels; buffers, so they travel with the network."""

    mean: Tensor
    scale: Tensor

    def __init__(self, images: Images) -> None:
        super().__init__()
        scale, mean = torch.std_mean(images, (0, 2, 3), correction=0, keepdim=True)
        self.register_buffer("mean", mean[0])
        self.register_buffer("scale", scale[0])

    def forward(self, x: Images) -> Images:
        return (x - self.mean) / self.scale


def named(**modules: nn.Module) -> nn.Sequential:
    """One after the other, in the order given."""
    return nn.Sequential(OrderedDict(modules))


def start(images: Images, rate: float) -> dict[str, nn.Module]:
    """Standardised pixels, and the dropout of them."""
    return {"standardise": Standardise(images), "drop_input": nn.Dropout(rate)}


def after_convolution(i: int, rate: float, pool: bool) -> dict[str, nn.Module]:
    """What follows the i-th convolution."""
    pooled: dict[str, nn.Module] = {f"pool{i}": nn.MaxPool2d(2)} if pool else {}
    return {f"relu{i}": nn.ReLU(), **pooled, f"drop_conv{i}": nn.Dropout(rate)}


def dense(features: int, hidden: int, classes: int, rate: float) -> dict[str, nn.Module]:
    """Two hidden layers and the output."""
    return {
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(features, hidden),
        "relu_fc1": nn.ReLU(),
        "drop_fc1": nn.Dropout(rate),
        "fc2": nn.Linear(hidden, hidden),
        "relu_fc2": nn.ReLU(),
        "drop_fc2": nn.Dropout(rate),
        "output": nn.Linear(hidden, classes),
    }


def scaled(size: int, width: float) -> int:
    """A layer's size at a width."""
    return max(1, round(size * width))


class Block(nn.Module):
    """Two convolutions and what they are added to: their input, projected where the shape changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1:
            self.shortcut = named(conv=nn.Conv2d(before, after, 1, stride, bias=False), norm=nn.BatchNorm2d(after))

    def forward(self, x: Images) -> Float[Tensor, "n after high wide"]:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))
