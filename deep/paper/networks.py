"""The networks of H.2, each with the dropout modules that it is tuned by.

    network      layers                                                                dropout
    mlp          3 hidden of 1200                                                      input, 1, 2
    simple_cnn   5x5 convolutions of 16 and 32 (5.2: 32 and 64), 1568 hidden           input, conv1, conv2, fc
    alexnet      5 convolutions, 2 hidden of 4096                                      input, conv1 to 5, fc1, fc2
    vgg16        13 convolutions with batch normalisation, 2 hidden of 512             input, conv1 to 13, fc1, fc2
    resnet18     8 blocks of 2 convolutions with batch normalisation                   input, block1 to 8

Each takes the training images, in [0, 1]: their shape, and the mean and scale by which its first layer standardises;
and a `width` that multiplies every hidden layer's. A layer's dropout follows its ReLU and its pooling, and drops
single activations; the input's drops single standardised pixels. What H.2 leaves open is as usual for 32 x 32 images.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Images = Float[Tensor, "n c h w"]
Network = Callable[..., nn.Sequential]

RATE = 0.05
"""H.2's start of every dropout rate."""


def mlp(images: Images, classes: int = 10, width: float = 1.0) -> nn.Sequential:
    """H.2.1: three hidden layers.

    >>> import torch
    >>> [name for name, layer in mlp(torch.rand(2, 1, 8, 8)).named_modules() if isinstance(layer, nn.Dropout)]
    ['drop_input', 'drop_1', 'drop_2']
    """
    hidden = _scaled(1200, width)
    modules = _input(images) | {"flatten": nn.Flatten()}
    for i, size in ((1, images[0].numel()), (2, hidden)):
        modules |= {f"fc{i}": nn.Linear(size, hidden), f"relu{i}": nn.ReLU(), f"drop_{i}": nn.Dropout(RATE)}
    return _named(**modules, fc3=nn.Linear(hidden, hidden), relu3=nn.ReLU(), output=nn.Linear(hidden, classes))


def simple_cnn(
    images: Images, classes: int = 10, width: float = 1.0, filters: Sequence[int] = (16, 32)
) -> nn.Sequential:
    """H.2.2; 32 maps of 7 x 7 are its 1568 numbers, which fixes padding and pooling."""
    _, channels, high, wide = images.shape
    first, second, hidden = (_scaled(size, width) for size in (*filters, 1568))
    return _named(
        **_input(images),
        conv1=nn.Conv2d(channels, first, 5, padding=2),
        **_after_convolution(1, pool=True),
        conv2=nn.Conv2d(first, second, 5, padding=2),
        **_after_convolution(2, pool=True),
        flatten=nn.Flatten(),
        fc=nn.Linear(second * (high // 4) * (wide // 4), hidden),
        relu3=nn.ReLU(),
        drop_fc=nn.Dropout(RATE),
        output=nn.Linear(hidden, classes),
    )


def alexnet(images: Images, classes: int = 10, width: float = 1.0) -> nn.Sequential:
    """H.2.3: 3x3 convolutions, the first in steps of 2; max pooling by 2 after the first, second and fifth."""
    filters = [images.shape[1], *(_scaled(size, width) for size in (64, 192, 384, 256, 256))]
    modules = _input(images)
    for i, (before, after) in enumerate(pairwise(filters), 1):
        modules |= {f"conv{i}": nn.Conv2d(before, after, 3, stride=2 if i == 1 else 1, padding=1)}
        modules |= _after_convolution(i, pool=i in (1, 2, 5))
    size = images.shape[2] // 16 * (images.shape[3] // 16)
    return _named(**modules, **_dense(filters[-1] * size, _scaled(4096, width), classes))


def vgg16(images: Images, classes: int = 10, width: float = 1.0) -> nn.Sequential:
    """H.2.3; no convolution has a bias, which the normalisation would take away again."""
    sizes = (64, 64, 128, 128, 256, 256, 256, *(512,) * 6)
    filters = [images.shape[1], *(_scaled(size, width) for size in sizes)]
    modules = _input(images)
    for i, (before, after) in enumerate(pairwise(filters), 1):
        modules |= {f"conv{i}": nn.Conv2d(before, after, 3, padding=1, bias=False), f"norm{i}": nn.BatchNorm2d(after)}
        modules |= _after_convolution(i, pool=i in (2, 4, 7, 10, 13))
    size = images.shape[2] // 32 * (images.shape[3] // 32)
    return _named(**modules, **_dense(filters[-1] * size, _scaled(512, width), classes))


def resnet18(images: Images, classes: int = 10, width: float = 1.0) -> nn.Sequential:
    """H.2.3: a 3x3 convolution, then two blocks at each of four sizes, with dropout after each block."""
    sizes = [_scaled(size, width) for size in (64, 64, 64, 128, 128, 256, 256, 512, 512)]
    modules = _input(images)
    modules |= {"conv": nn.Conv2d(images.shape[1], sizes[0], 3, padding=1, bias=False)}
    modules |= {"norm": nn.BatchNorm2d(sizes[0]), "relu": nn.ReLU()}
    for i, (before, after) in enumerate(pairwise(sizes), 1):
        modules |= {f"block{i}": Block(before, after, stride=2 if i in (3, 5, 7) else 1)}
        modules |= {f"drop_block{i}": nn.Dropout(RATE)}
    return _named(**modules, pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), output=nn.Linear(sizes[-1], classes))


class Standardise(nn.Module):
    """(x - mean)/scale, each channel's over all images and pixels; buffers, so they travel with the network."""

    mean: Tensor
    scale: Tensor

    def __init__(self, images: Images) -> None:
        super().__init__()
        scale, mean = torch.std_mean(images, (0, 2, 3), correction=0, keepdim=True)
        self.register_buffer("mean", mean[0])
        self.register_buffer("scale", scale[0])

    def forward(self, x: Images) -> Images:
        return (x - self.mean) / self.scale


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
            self.shortcut = _named(conv=nn.Conv2d(before, after, 1, stride, bias=False), norm=nn.BatchNorm2d(after))

    def forward(self, x: Images) -> Float[Tensor, "n after high wide"]:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def _named(**modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(modules))


def _scaled(size: int, width: float) -> int:
    return max(1, round(size * width))


def _input(images: Images) -> dict[str, nn.Module]:
    return {"standardise": Standardise(images), "drop_input": nn.Dropout(RATE)}


def _after_convolution(i: int, pool: bool) -> dict[str, nn.Module]:
    pooling: dict[str, nn.Module] = {f"pool{i}": nn.MaxPool2d(2)} if pool else {}
    return {f"relu{i}": nn.ReLU(), **pooling, f"drop_conv{i}": nn.Dropout(RATE)}


def _dense(features: int, hidden: int, classes: int) -> dict[str, nn.Module]:
    """Two hidden layers and the output."""
    modules: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    for i, size in ((1, features), (2, hidden)):
        modules |= {f"fc{i}": nn.Linear(size, hidden), f"relu_fc{i}": nn.ReLU(), f"drop_fc{i}": nn.Dropout(RATE)}
    return modules | {"output": nn.Linear(hidden, classes)}
