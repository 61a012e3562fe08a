"""Changes of images in [0, 1] by an amount for each example, which `augment` draws.

    name     shape             meaning
    x        (n, c, h, w)      images
    noise    (n,)              how far from no change, which is 0
    u        (n, most, 2)      uniforms on [0, 1): where Cutout's squares lie

Colours may leave [0, 1]; whoever calls clamps them.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

Images = Float[Tensor, "n c h w"]
PerExample = Float[Tensor, "n"]

GREY = (0.299, 0.587, 0.114)


def brightness(x: Images, noise: PerExample) -> Images:
    """(1 + noise) x."""
    return x * _image(1 + noise)


def contrast(x: Images, noise: PerExample) -> Images:
    """Away from the image's mean grey, or towards it."""
    return _away(x, grey(x).mean((1, 2, 3), keepdim=True), noise)


def saturation(x: Images, noise: PerExample) -> Images:
    """Away from each pixel's grey, or towards it."""
    return _away(x, grey(x), noise)


def hue(x: Images, noise: PerExample) -> Images:
    """Each pixel's hue (of HSV) by `noise` of a full turn."""
    from kornia.enhance import adjust_hue  # here, since only CIFAR-10 needs it

    return adjust_hue(x, 2 * math.pi * noise)


def grey(x: Images) -> Float[Tensor, "n 1 h w"]:
    """Luma of red, green and blue; an image of one channel is grey itself."""
    if x.shape[1] == 1:
        return x
    return torch.einsum("nchw,c->nhw", x, x.new_tensor(GREY))[:, None]


def affine(
    x: Images,
    rotation: PerExample | float = 0.0,
    shear: PerExample | float = 0.0,
    scale: PerExample | float = 0.0,
    translation_x: PerExample | float = 0.0,
    translation_y: PerExample | float = 0.0,
) -> Images:
    """Square images under q -> (1 + scale) R S q + translation about their centre; zeros come in from outside.

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
    """What `holes` squares of `length` pixels around the pixels ⌊u · size⌋ cover, cut off at the border."""
    there = torch.arange(u.shape[1], device=u.device) < holes[:, None]

    def inside(axis: int) -> Float[Tensor, "n most size"]:
        first = torch.floor(u[..., axis] * size[axis]) - length[:, None] / 2
        pixel = torch.arange(size[axis], device=u.device)
        return ((pixel >= first[..., None]) & (pixel < (first + length[:, None])[..., None])).to(u)

    return ((inside(0) * there[..., None]).mT @ inside(1) > 0)[:, None]


def _image(factor: PerExample) -> Float[Tensor, "n 1 1 1"]:
    return factor[:, None, None, None]


def _away(x: Images, centre: Tensor, noise: PerExample) -> Images:
    return centre + _image(1 + noise) * (x - centre)
