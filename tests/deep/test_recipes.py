"""README's recipes: each example's loss and augmentation are at its own value, by another route."""

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta
from torch import Tensor

import deep
from deep.hyper.declared import Hyperparameter
from deep.hyper.hyperparameters import Hyperparameters, Pass
from tests.deep.strategies import close, draws, torch_seeds

README = (Path(deep.__file__).parent / "README.md").read_text(encoding="utf-8")
RECIPES = README.split("\n## Smoothing, class weights, mixing, RandAugment\n")[1].split("\n## ")[0]

sizes = st.integers(1, 6)
recipe_tests = settings(max_examples=10)


def recipe(function: str) -> dict[str, Any]:
    """The names that stand where README has defined a function, without any run before it."""
    names: dict[str, Any] = {"torch": torch, "train": []}
    names |= {"Hyperparameter": Hyperparameter, "Hyperparameters": Hyperparameters}
    for example in doctest.DocTestParser().get_examples(RECIPES):
        if not (example.want or "(tune(" in example.source):
            exec(example.source, names)
        if f"def {function}(" in example.source:
            return names
    raise AssertionError(f"README defines no {function}")


def perturbed(names: dict[str, Any], n: int) -> tuple[Pass, Tensor]:
    """A pass with a λ for each example, and the values there (n, h)."""
    hyper = names["hyper"]
    lam = hyper.lam.detach().double() + torch.randn(n, len(hyper), dtype=torch.float64)
    return Pass(lam, None, n), torch.stack([each(lam[:, k]) for k, each in enumerate(hyper.declared)], 1)


def logits(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Outputs and targets of n examples in ten classes."""
    torch.manual_seed(seed)
    return torch.randn(n, 10, dtype=torch.float64), torch.randint(0, 10, (n,))


@given(n=sizes, seed=torch_seeds)
@recipe_tests
def test_smoothing_is_cross_entropys_at_each_examples_own_value(n: int, seed: int) -> None:
    names = recipe("smoothed")
    outputs, targets = logits(n, seed)
    now, values = perturbed(names, n)
    with names["hyper"].during(now):
        loss = names["smoothed"](outputs, targets)
    alone = [F.cross_entropy(outputs[i], targets[i], label_smoothing=float(values[i, 0])) for i in range(n)]
    close(loss, torch.stack(alone).mean())


@given(n=sizes, seed=torch_seeds)
@recipe_tests
def test_class_weights_are_cross_entropys_at_each_examples_own_values(n: int, seed: int) -> None:
    names = recipe("weighted")
    outputs, targets = logits(n, seed)
    now, values = perturbed(names, n)
    with names["hyper"].during(now):
        loss = names["weighted"](outputs, targets)
    relative = values / values.mean(1, keepdim=True)
    alone = [F.cross_entropy(outputs[i], targets[i], weight=relative[i], reduction="sum") for i in range(n)]
    close(loss, torch.stack(alone).mean())


def uniforms(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    """What draws of this seed give, in order."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def mixed_targets(targets: Tensor, partner: Tensor, m: Tensor) -> Tensor:
    """A part m of each example's class, and of its partner's class the other."""
    mixture = torch.zeros(len(targets), 10, dtype=torch.float64)
    for i, j in enumerate(partner.tolist()):
        mixture[i, targets[i]] += m[i]
        mixture[i, targets[j]] += 1 - m[i]
    return mixture


@given(n=sizes, seed=torch_seeds)
@recipe_tests
def test_mixup_mixes_by_a_beta_variable_of_each_examples_own_strength(n: int, seed: int) -> None:
    names = recipe("mixed")
    outputs, targets = logits(n, seed)
    x = torch.rand(n, 64, dtype=torch.float64)
    now, values = perturbed(names, n)
    with names["hyper"].during(now):
        y = names["mixup"](x, draws(seed))
        loss = names["mixed"](outputs, targets)
    u, order = uniforms(seed, (n,), (n,))
    m, partner = names["mix"]["m"], order.argsort()
    np.testing.assert_allclose(beta.cdf(m, values[:, 0], values[:, 0]), u, rtol=1e-9)
    close(y, torch.stack([m[i] * x[i] + (1 - m[i]) * x[partner[i]] for i in range(n)]))
    close(loss, F.cross_entropy(outputs, mixed_targets(targets, partner, m)))


@given(n=sizes, seed=torch_seeds)
@recipe_tests
def test_cutmix_fills_a_box_of_each_examples_own_size(n: int, seed: int) -> None:
    names = recipe("cutmix")
    outputs, targets = logits(n, seed)
    x = torch.rand(n, 64, dtype=torch.float64)
    now, values = perturbed(names, n)
    with names["hyper"].during(now):
        y = names["cutmix"](x, draws(seed))
        loss = names["mixed"](outputs, targets)
    u, order = uniforms(seed, (n, 3), (n,))
    partner = order.argsort()
    wanted, cut = x.clone(), torch.zeros(n)
    for i in range(n):
        half = 4 * np.sqrt(1 - beta.ppf(u[i, 0], values[i, 0], values[i, 0]))
        for row in range(8):
            for column in range(8):
                if abs(row + 0.5 - 8 * u[i, 1]) < half and abs(column + 0.5 - 8 * u[i, 2]) < half:
                    wanted[i, 8 * row + column] = x[partner[i], 8 * row + column]
                    cut[i] += 1 / 64
    close(y, wanted)
    close(loss, F.cross_entropy(outputs, mixed_targets(targets, partner, 1 - cut)))


@given(n=sizes, seed=torch_seeds)
@recipe_tests
def test_rand_augment_is_its_operations_on_each_example_alone(n: int, seed: int) -> None:
    names = recipe("rand_augment")
    torch.manual_seed(seed)
    x = torch.rand(n, 64, dtype=torch.float64)
    now, values = perturbed(names, n)
    with names["hyper"].during(now):
        y = names["rand_augment"](x, draws(seed))
    signs, which, signs_2, which_2 = uniforms(seed, (n,), (n,), (n,), (n,))
    for i in range(n):
        image = x[i].reshape(1, 1, 8, 8)
        for sign, index in ((signs[i], which[i]), (signs_2[i], which_2[i])):
            s = values[i] / 30 if sign >= 0.5 else -values[i] / 30
            image = names["operations"][int(4 * index)](image, s)
        close(y[i], image.flatten())


@pytest.mark.parametrize("function", ["smoothed", "weighted", "mixup", "cutmix", "rand_augment"])
def test_a_recipe_has_at_most_ten_lines(function: str) -> None:
    example = next(e for e in doctest.DocTestParser().get_examples(RECIPES) if f"def {function}(" in e.source)
    assert len(example.source.splitlines()) <= 10
