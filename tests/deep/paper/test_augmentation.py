"""The augmentations of H.2, against arrays turned, shifted and covered by hand, colorsys and SciPy."""

import colorsys
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import affine_transform
from torch import Tensor

from deep.hyper.declared import Hyperparameter
from deep.hyper.draws import Draws
from deep.hyper.hyperparameters import Hyperparameters, Pass
from deep.hyper.parallel import Share
from deep.paper.augmentation import AUGMENTATIONS, COLOURS, CUTOUT, Augmentation, affine, colour, cutout
from deep.paper.networks import Standardise
from tests.strategies import seeds

ROUNDING = 1e-12
"""Two routes in float64."""

LOWEST = -1e4
"""s(λ) is its lower bound exactly."""

GEOMETRY = ("rotation", "shear", "scale")


class Constant(Draws):
    """Every uniform is the same number."""

    def __init__(self, u: float) -> None:
        super().__init__(torch.Generator())
        self.u = u

    def uniform(self, shape: Sequence[int], like: Tensor, axis: int | None = 0) -> Tensor:
        return like.new_full(tuple(shape), self.u)


def images(seed: int, n: int = 3, channels: int = 3, size: int = 8) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draws(seed: int) -> Draws:
    return Draws(torch.Generator().manual_seed(seed))


def alone(name: str) -> Hyperparameters:
    return Hyperparameters([hyperparameter for hyperparameter in AUGMENTATIONS if hyperparameter.name == name])


def mean(x: Tensor) -> Tensor:
    return x.mean((0, 2, 3))


def filled(x: Tensor, **noise: Tensor) -> Tensor:
    """`affine` with the mean colour coming in from outside."""
    border = mean(x)[:, None, None]
    return border + affine(x - border, **noise)


def numbers(rng: np.random.Generator, n: int, low: float, high: float) -> Tensor:
    return torch.tensor(rng.uniform(low, high, size=n))


# Geometry.


@pytest.mark.parametrize(("degrees", "quarters"), [(90.0, -1), (180.0, 2), (-90.0, 1), (0.0, 0)])
def test_quarter_turns_are_rot90(degrees: float, quarters: int) -> None:
    x = images(0)
    assert_allclose(affine(x, rotation=degrees), torch.rot90(x, quarters, (2, 3)), atol=ROUNDING)


@given(seeds, st.integers(-7, 7), st.integers(-7, 7))
def test_translation_by_whole_pixels_is_a_shifted_copy(seed: int, right: int, down: int) -> None:
    x = images(seed)
    shifted = torch.zeros_like(x)
    for row in range(8):
        for column in range(8):
            if 0 <= row - down < 8 and 0 <= column - right < 8:
                shifted[:, :, row, column] = x[:, :, row - down, column - right]
    assert_allclose(affine(x, translation_x=right / 8, translation_y=down / 8), shifted, atol=ROUNDING)


@given(seeds, st.integers(3, 9))
def test_affine_is_scipys_with_each_examples_own_matrix(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    x = images(seed, size=size)
    turn, shear = (numbers(rng, 3, -45, 45) for _ in range(2))
    scale, right, down = (numbers(rng, 3, -0.5, 0.5) for _ in range(3))
    changed = affine(x, turn, shear, scale, right, down)
    for i in range(3):
        a, k = np.deg2rad(turn[i].item()), np.deg2rad(shear[i].item())
        # In rows and columns, where SciPy has them: a turn from columns to rows, columns moved along by rows.
        R = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
        S = np.array([[1, 0], [np.tan(k), 1]])
        back = np.linalg.inv((1 + scale[i].item()) * R @ S)
        centre = np.full(2, (size - 1) / 2)
        offset = centre - back @ (centre + size * np.array([down[i].item(), right[i].item()]))
        for channel in range(3):
            plane = x[i, channel].numpy()
            desired = affine_transform(plane, back, cast(Any, offset), order=1, mode="grid-constant")
            assert_allclose(changed[i, channel], desired, atol=ROUNDING)


# Colours.


@given(seeds)
def test_hue_turns_the_h_of_hsv(seed: int) -> None:
    x = images(seed, size=2)
    noise = numbers(np.random.default_rng(seed), 3, -0.5, 0.5)
    changed = colour("hue", x, noise)
    for i, row, column in np.ndindex(3, 2, 2):
        h, s, v = colorsys.rgb_to_hsv(*x[i, :, row, column].tolist())
        desired = colorsys.hsv_to_rgb((h + noise[i].item()) % 1, s, v)
        # kornia divides by V + 1e-8.
        assert_allclose(changed[i, :, row, column], desired, atol=1e-7)


def test_hue_leaves_grey_and_black_as_they_are() -> None:
    x = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)[:, None, None, None].expand(3, 3, 2, 2)
    assert_allclose(colour("hue", x, torch.full((3,), 0.25, dtype=torch.float64)), x, atol=1e-7)


@given(seeds)
def test_brightness_contrast_and_saturation_pixel_by_pixel(seed: int) -> None:
    x = images(seed, size=4)
    noise = numbers(np.random.default_rng(seed), 3, -1, 1)
    changed = [colour(name, x, noise) for name in ("brightness", "contrast", "saturation")]
    for i in range(3):
        f = 1 + noise[i].item()
        luma = np.array([0.299, 0.587, 0.114])
        grey = np.array([[luma @ x[i, :, row, column].numpy() for column in range(4)] for row in range(4)])
        for channel in range(3):
            plane = x[i, channel].numpy()
            desired = (f * plane, f * plane + (1 - f) * grey.mean(), f * plane + (1 - f) * grey)
            for actual, unclamped in zip(changed, desired, strict=True):
                assert_allclose(actual[i, channel], unclamped.clip(0, 1), atol=ROUNDING)


def test_colours_stay_between_0_and_1() -> None:
    hyper = Hyperparameters(AUGMENTATIONS[:4])
    hyper.lam.data.fill_(-LOWEST)
    for u in (0.0, 1.0):
        changed = Augmentation(hyper, mean(images(0)))(images(0), Constant(u))
        assert changed.min() >= 0
        assert changed.max() <= 1


# Cutout.


@given(seeds, st.integers(1, 9), st.integers(1, 9))
def test_cutout_covers_what_a_loop_covers(seed: int, high: int, wide: int) -> None:
    rng = np.random.default_rng(seed)
    n, most = 4, 4
    holes, lengths, u = rng.integers(0, most + 1, n), rng.integers(0, 12, n), rng.uniform(size=(n, most, 2))
    desired = np.zeros((n, 1, high, wide), bool)
    for i in range(n):
        for hole in range(holes[i]):
            top = int(u[i, hole, 0] * high) - lengths[i] // 2
            left = int(u[i, hole, 1] * wide) - lengths[i] // 2
            for row in range(top, top + lengths[i]):
                for column in range(left, left + lengths[i]):
                    if 0 <= row < high and 0 <= column < wide:
                        desired[i, 0, row, column] = True
    covered = cutout((high, wide), torch.tensor(holes).double(), torch.tensor(lengths).double(), torch.tensor(u))
    assert_array_equal(covered, desired)


def test_a_start_covers_one_square_of_sixteen_pixels_with_the_mean() -> None:
    x = images(0, n=50, channels=1, size=28)
    hyper = Hyperparameters(CUTOUT)
    changed = Augmentation(hyper, mean(x))(x, draws(0))
    covered = changed != x
    assert covered.sum((1, 2, 3)).max() == 16
    assert covered.sum((1, 2, 3)).min() >= 4  # at a corner
    assert torch.equal(changed[covered], mean(x).expand_as(x)[covered])
    assert_allclose(Standardise(x)(changed)[covered], np.zeros(covered.sum()), atol=ROUNDING)


def test_holes_and_pixels_are_whole_numbers_for_each_example() -> None:
    x = images(0, n=60, channels=1, size=28)
    hyper = Hyperparameters(CUTOUT)
    lam = torch.randn(60, 2, generator=torch.Generator().manual_seed(1))
    with hyper.during(Pass(lam, None, 60)):
        changed = Augmentation(hyper, mean(x))(x, Constant(0.5))
    # All holes of an example lie on one another in the middle, where a square of up to 24 has room.
    holes = np.floor(4 / (1 + np.exp(-lam[:, 0].double().numpy())))
    lengths = np.floor(24 / (1 + np.exp(-lam[:, 1].double().numpy())))
    assert_array_equal((changed != x).sum((1, 2, 3)), np.where(holes > 0, lengths**2, 0))
    assert len(set(lengths)) > 5


# All of them.


def test_the_ten_of_cifar_and_the_two_of_fashion_mnist() -> None:
    declared = {
        hyperparameter.name: (hyperparameter.start, hyperparameter.low, hyperparameter.high, hyperparameter.discrete)
        for hyperparameter in AUGMENTATIONS
    }
    assert declared == {
        "brightness": (0.05, 0, 1, False),
        "contrast": (0.05, 0, 1, False),
        "saturation": (0.05, 0, 1, False),
        "hue": (0.05, 0, 0.5, False),
        "rotation": (0.05, 0, 45, False),
        "shear": (0.05, 0, 45, False),
        "scale": (0.05, 0, 0.5, False),
        "translation": (0.05, 0, 0.5, False),
        "cutout_holes": (1, 0, 4, True),
        "cutout_length": (4, 0, 24, True),
    }
    assert [hyperparameter.name for hyperparameter in CUTOUT] == ["cutout_holes", "cutout_length"]


@given(seeds)
def test_no_strength_is_no_change(seed: int) -> None:
    x, hyper = images(seed), Hyperparameters(AUGMENTATIONS)
    hyper.lam.data.fill_(LOWEST)
    # kornia's hue again.
    assert_allclose(Augmentation(hyper, mean(x))(x, draws(seed)), x, atol=1e-7)


@pytest.mark.parametrize("u", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("name", [*COLOURS, *GEOMETRY])
def test_a_draw_of_u_is_a_noise_of_s_times_2u_less_1(name: str, u: float) -> None:
    x, hyper = images(2), alone(name)
    hyper.lam.data.fill_(0.3)
    noise = torch.full((3,), hyper.values()[name] * (2 * u - 1), dtype=torch.float64)
    desired = colour(name, x, noise) if name in COLOURS else filled(x, **{name: noise})
    # λ is in single precision.
    assert_allclose(Augmentation(hyper, mean(x))(x, Constant(u)), desired, atol=1e-6)


def test_translation_draws_for_each_axis() -> None:
    x, hyper = images(3), alone("translation")
    hyper.lam.data.fill_(0.0)
    x_noise, y_noise = (0.25 * (2 * draw - 1) for draw in _uniforms(4, 3, 2))
    desired = filled(x, translation_x=x_noise, translation_y=y_noise)
    assert_allclose(Augmentation(hyper, mean(x))(x, draws(4)), desired, atol=ROUNDING)


def _uniforms(seed: int, n: int, times: int) -> list[Tensor]:
    source = draws(seed)
    return [source.uniform((n,), torch.zeros(1, dtype=torch.float64)) for _ in range(times)]


@given(seeds)
def test_each_example_has_its_own_strengths(seed: int) -> None:
    x, hyper = images(seed), Hyperparameters(AUGMENTATIONS)
    lam = torch.randn(3, 10, generator=torch.Generator().manual_seed(seed))
    augment = Augmentation(hyper, mean(x))
    with hyper.during(Pass(lam, None, 3)):
        together = augment(x, Constant(0.8))
    for i in range(3):
        with hyper.during(Pass(lam[i : i + 1], None, 1)):
            assert_allclose(augment(x[i : i + 1], Constant(0.8))[0], together[i], atol=ROUNDING)


@pytest.mark.parametrize("name", [hyperparameter.name for hyperparameter in AUGMENTATIONS])
def test_examples_with_equal_strengths_have_draws_of_their_own(name: str) -> None:
    wanted = (
        CUTOUT
        if name.startswith("cutout")
        else [hyperparameter for hyperparameter in AUGMENTATIONS if hyperparameter.name == name]
    )
    hyper = Hyperparameters(wanted)
    hyper.lam.data += 1.0
    x = images(5, n=1).expand(8, -1, -1, -1)
    changed = Augmentation(hyper, mean(x))(x, draws(5))
    assert len({hyperparameter.numpy().tobytes() for hyperparameter in changed}) == 8


def test_the_same_draws_give_the_same_bits_and_later_ones_others() -> None:
    x, hyper = images(6).float(), Hyperparameters(AUGMENTATIONS)
    augment, source = Augmentation(hyper, mean(x)), draws(6)
    first, second = augment(x, source), augment(x, source)
    assert torch.equal(first, augment(x, draws(6)))
    assert not torch.equal(first, second)


def test_a_process_with_three_rows_of_eight_changes_them_as_one_process_would() -> None:
    x, hyper = images(7, n=8), Hyperparameters(AUGMENTATIONS)
    augment, shared = Augmentation(hyper, mean(x)), draws(7)
    shared.share = Share((3, 5))
    assert torch.equal(augment(x[:3], shared), augment(x, draws(7))[:3])


def test_no_random_number_comes_from_elsewhere() -> None:
    x, hyper = images(8), Hyperparameters(AUGMENTATIONS)
    before = torch.get_rng_state()
    Augmentation(hyper, mean(x))(x, draws(8))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_strength_may_be_one_for_the_batch() -> None:
    x = images(9)
    hyper = Hyperparameters([Hyperparameter("brightness", start=0.5, high=1.0, per="batch")])
    with hyper.during(hyper.centre(3)):
        assert_allclose(Augmentation(hyper, mean(x))(x, Constant(0.0)), x * 0.5, atol=1e-7)
