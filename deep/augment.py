"""H.2's augmentations of images in [0, 1], each example with a strength and draws of its own.

    name          bounds     what is drawn, uniformly, at strength s
    brightness    [0, 1]     factor in [1 - s, 1 + s] of the image
    contrast      [0, 1]     ... of its distance from its mean grey
    saturation    [0, 1]     ... of its distance from its own grey
    hue           [0, 0.5]   part of a full turn in [-s, s]
    rotation      [0, 45]    degrees in [-s, s]
    shear         [0, 45]    the same, along the rows
    scale         [0, 0.5]   factor in [1 - s, 1 + s]
    translation   [0, 0.5]   parts of the width and of the height in [-s, s]
    cutout_holes  [0, 4]     centres of Cutout's squares among the pixels; whole numbers of holes and of pixels
    cutout_length [0, 24]

In this order, but that the shear comes before the rotation (`affine`). What a hole covers, and what comes in from
outside, is the mean colour, which a network that standardises sees as zero.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from deep.hyper.declared import Hyperparameter
from deep.hyper.draws import Draws
from deep.hyper.hyperparameters import Hyperparameters
from deep.image_changes import Images, PerExample, affine, brightness, contrast, cutout, hue, saturation

CUTOUT = (
    Hyperparameter("cutout_holes", start=1.0, high=4.0, discrete=True),
    Hyperparameter("cutout_length", start=4.0, high=24.0, discrete=True, unit="px"),
)
"""FashionMNIST's (H.2.2)."""

_HIGH = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.5}
_HIGH |= {"rotation": 45.0, "shear": 45.0, "scale": 0.5, "translation": 0.5}

_UNIT = {"rotation": "°", "shear": "°"}

AUGMENTATIONS = (
    *(Hyperparameter(name, start=0.05, high=high, unit=_UNIT.get(name, "")) for name, high in _HIGH.items()),
    *CUTOUT,
)
"""CIFAR-10's ten (H.2.3)."""

COLOUR: dict[str, Callable[[Images, PerExample], Images]] = {
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "hue": hue,
}


class Augmentation:
    """Applies those of the augmentations that are declared; all randomness is from the draws it is given.

    Args:
        mean: the mean colour.
    """

    def __init__(self, hyper: Hyperparameters, mean: Float[Tensor, "c"]) -> None:
        self.hyper, self.mean = hyper, mean.reshape(-1, 1, 1)

    def __call__(self, x: Images, draws: Draws) -> Images:
        for name, change in COLOUR.items():
            if name in self.hyper:
                x = change(x, self._noise(name, x, draws)).clamp(0, 1)
        mean = self.mean.to(x)
        geometry = {name: self._noise(name, x, draws) for name in ("rotation", "shear", "scale") if name in self.hyper}
        if "translation" in self.hyper:
            geometry |= {f"translation_{axis}": self._noise("translation", x, draws) for axis in "xy"}
        if geometry:
            x = mean + affine(x - mean, **geometry)
        if "cutout_holes" in self.hyper:
            most = next(math.ceil(one.high) for one in self.hyper.declared if one.name == "cutout_holes")
            u = draws.uniform((len(x), most, 2), x)
            holes, length = self._strength("cutout_holes", x), self._strength("cutout_length", x)
            x = torch.where(cutout((x.shape[2], x.shape[3]), holes, length, u), mean, x)
        return x

    def _strength(self, name: str, x: Tensor) -> PerExample:
        return self.hyper[name].to(x).expand(len(x))

    def _noise(self, name: str, x: Tensor, draws: Draws) -> PerExample:
        """Uniform in [-s, s]."""
        return self._strength(name, x) * (2 * draws.uniform((len(x),), x) - 1).to(x)
