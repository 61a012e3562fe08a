"""H.2's augmentations of images in [0, 1], each example with a strength s and draws of its own.

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

They follow in this order, but that the shear comes before the rotation (`affine`). What a hole covers, and what comes
in from outside, is the mean colour, which a network that standardises sees as zero.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from deep.hyper.declared import Hyperparameter
from deep.hyper.draws import Draws
from deep.hyper.hyperparameters import Hyperparameters

Images = Float[Tensor, "n c h w"]
PerExample = Float[Tensor, "n"]

CUTOUT = (
    Hyperparameter("cutout_holes", start=1.0, high=4.0, discrete=True),
    Hyperparameter("cutout_length", start=4.0, high=24.0, discrete=True, unit="px"),
)
"""FashionMNIST's (H.2.2)."""

COLOURS = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.5}
GEOMETRY = {"rotation": 45.0, "shear": 45.0, "scale": 0.5, "translation": 0.5}
"""Upper bounds."""

AUGMENTATIONS = (
    *(
        Hyperparameter(name, start=0.05, high=high, unit="°" if high == 45.0 else "")
        for name, high in {**COLOURS, **GEOMETRY}.items()
    ),
    *CUTOUT,
)
"""CIFAR-10's ten (H.2.3)."""


class Augmentation:
    """Apply those of the augmentations that are declared; all randomness comes from the draws that are passed.

    Args:
        mean: the mean colour.
    """

    def __init__(self, hyper: Hyperparameters, mean: Float[Tensor, "c"]) -> None:
        self.hyper, self.mean = hyper, mean.reshape(-1, 1, 1)

    def __call__(self, x: Images, draws: Draws) -> Images:
        for name in COLOURS:
            if name in self.hyper:
                x = colour(name, x, self._noise(name, x, draws))
        mean = self.mean.to(x)
        geometry = {name: self._noise(name, x, draws) for name in ("rotation", "shear", "scale") if name in self.hyper}
        if "translation" in self.hyper:
            geometry |= {f"translation_{axis}": self._noise("translation", x, draws) for axis in "xy"}
        if geometry:
            x = mean + affine(x - mean, **geometry)
        if "cutout_holes" in self.hyper:
            most = next(
                math.ceil(hyperparameter.high)
                for hyperparameter in self.hyper.declared
                if hyperparameter.name == "cutout_holes"
            )
            u = draws.uniform((len(x), most, 2), x)
            holes, length = self._strength("cutout_holes", x), self._strength("cutout_length", x)
            x = torch.where(cutout((x.shape[2], x.shape[3]), holes, length, u), mean, x)
        return x

    def _strength(self, name: str, x: Tensor) -> PerExample:
        return self.hyper[name].to(x).expand(len(x))

    def _noise(self, name: str, x: Tensor, draws: Draws) -> PerExample:
        """Draw uniformly from [-s, s]."""
        return self._strength(name, x) * (2 * draws.uniform((len(x),), x) - 1).to(x)


def colour(name: str, x: Images, noise: PerExample) -> Images:
    """Change one of COLOURS in images of three channels by noise, where 0 is no change; clamp to [0, 1]."""
    from kornia import enhance  # only CIFAR-10 needs it

    change = {
        "brightness": enhance.adjust_brightness_accumulative,
        "contrast": enhance.adjust_contrast_with_mean_subtraction,
        "saturation": enhance.adjust_saturation_with_gray_subtraction,
        "hue": enhance.adjust_hue,
    }[name]
    return change(x, 2 * math.pi * noise if name == "hue" else 1 + noise).clamp(0, 1)


def affine(
    x: Images,
    rotation: PerExample | float = 0.0,
    shear: PerExample | float = 0.0,
    scale: PerExample | float = 0.0,
    translation_x: PerExample | float = 0.0,
    translation_y: PerExample | float = 0.0,
) -> Images:
    """Move square images by q -> (1 + scale) R S q + translation about their centre; zeros come in from outside.

    R turns by `rotation` degrees from x (right) to y (down), S moves (x, y) to (x + y tan(shear), y). An output pixel
    p looks up (R S)⁻¹ (p - translation) / (1 + scale) between the four nearest; a side is 2 in these coordinates.
    """
    zero = x.new_zeros(len(x))
    a, k, s, t_x, t_y = (zero + value for value in (rotation, shear, scale, translation_x, translation_y))
    sin, cos, tan = torch.sin(torch.deg2rad(a)), torch.cos(torch.deg2rad(a)), torch.tan(torch.deg2rad(k))
    # S⁻¹ Rᵀ, and the columns of its product with -t.
    inverse = torch.stack([cos + tan * sin, sin - tan * cos, -sin, cos], -1).reshape(-1, 2, 2) / (1 + s)[:, None, None]
    shift = -2 * inverse @ torch.stack([t_x, t_y], -1)[..., None]
    grid = F.affine_grid(torch.cat([inverse, shift], -1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def cutout(
    size: tuple[int, int], holes: PerExample, length: PerExample, u: Float[Tensor, "n most 2"]
) -> Bool[Tensor, "n 1 h w"]:
    """Mark what `holes` squares of `length` pixels around the pixels ⌊u · size⌋ cover, cut off at the border."""
    counted = torch.arange(u.shape[1], device=u.device) < holes[:, None]

    def inside(axis: int) -> Float[Tensor, "n most size"]:
        first = torch.floor(u[..., axis] * size[axis]) - length[:, None] / 2
        pixel = torch.arange(size[axis], device=u.device)
        return ((pixel >= first[..., None]) & (pixel < (first + length[:, None])[..., None])).to(u)

    return ((inside(0) * counted[..., None]).mT @ inside(1) > 0)[:, None]
