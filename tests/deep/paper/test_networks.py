"""The networks of H.2: their sizes by another count, their dropouts by name, and all four methods on each."""

import copy
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.func import functional_call, jvp

from deep.hyper.draws import Draws
from deep.hyper.hyperparameters import Hyperparameters, Pass
from deep.paper.networks import Standardise, alexnet, mlp, resnet18, simple_cnn, vgg16
from deep.rates.find import dropout_rates
from deep.responses.contexts import frozen, frozen_statistics
from deep.tuner.gradients import Objective, evaluate
from deep.tuner.hypernet import Hypernetwork
from deep.tuner.tuner import Tuner
from reference.rule.updates import METHODS, Method

NETWORKS = {"mlp": mlp, "simple-cnn": simple_cnn, "alexnet": alexnet, "vgg16": vgg16, "resnet18": resnet18}

SMALL = {"mlp": 0.01, "simple-cnn": 0.02, "alexnet": 0.02, "vgg16": 0.03, "resnet18": 0.05}
"""Widths at which a step takes milliseconds."""

RATES = {
    "mlp": ["drop_input", "drop_1", "drop_2"],
    "simple-cnn": ["drop_input", "drop_conv1", "drop_conv2", "drop_fc"],
    "alexnet": ["drop_input", *(f"drop_conv{i}" for i in range(1, 6)), "drop_fc1", "drop_fc2"],
    "vgg16": ["drop_input", *(f"drop_conv{i}" for i in range(1, 14)), "drop_fc1", "drop_fc2"],
    "resnet18": ["drop_input", *(f"drop_block{i}" for i in range(1, 9))],
}

names = pytest.mark.parametrize("name", NETWORKS)


def pictures(name: str, n: int = 6) -> Tensor:
    shape = (1, 28, 28) if name in ("mlp", "simple-cnn") else (3, 32, 32)
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))


def small(name: str, x: Tensor) -> nn.Sequential:
    torch.manual_seed(0)
    return NETWORKS[name](x, width=SMALL[name])


def convolution(before: int, after: int, kernel: int, bias: bool = True) -> int:
    return after * (before * kernel**2 + bias)


def dense(*sizes: int) -> int:
    return sum((before + 1) * after for before, after in pairwise(sizes))


def normalised(before: int, after: int, kernel: int = 3) -> int:
    return convolution(before, after, kernel, bias=False) + 2 * after


def block(before: int, after: int) -> int:
    return normalised(before, after) + normalised(after, after) + (before != after) * normalised(before, after, 1)


VGG16 = [3, *[64] * 2, *[128] * 2, *[256] * 3, *[512] * 6]

PARAMETERS = [
    (mlp, (1, 28, 28), dense(784, 1200, 1200, 1200, 10)),
    (simple_cnn, (1, 28, 28), convolution(1, 16, 5) + convolution(16, 32, 5) + dense(1568, 1568, 10)),
    (
        partial(simple_cnn, filters=(32, 64)),
        (1, 28, 28),
        convolution(1, 32, 5) + convolution(32, 64, 5) + dense(3136, 1568, 10),
    ),
    (
        alexnet,
        (3, 32, 32),
        sum(convolution(a, b, 3) for a, b in [(3, 64), (64, 192), (192, 384), (384, 256), (256, 256)])
        + dense(1024, 4096, 4096, 10),
    ),
    (
        vgg16,
        (3, 32, 32),
        sum(normalised(a, b) for a, b in pairwise(VGG16)) + dense(512, 512, 512, 10),
    ),
    (
        resnet18,
        (3, 32, 32),
        normalised(3, 64)
        + sum(block(a, b) for a, b in [(64, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256)])
        + block(256, 512)
        + block(512, 512)
        + dense(512, 10),
    ),
]


@pytest.mark.parametrize(("network", "shape", "count"), PARAMETERS)
def test_the_papers_networks_have_as_many_parameters_as_by_hand(network, shape: tuple[int, ...], count: int) -> None:
    with torch.device("meta"):
        built = network(torch.rand(2, *shape))
    assert sum(parameter.numel() for parameter in built.parameters()) == count


def test_resnet18_is_the_published_one() -> None:
    # 11.17 million is what is always reported for its form for 32 x 32 images.
    assert PARAMETERS[-1][2] == 11_173_962


@names
def test_the_rates_are_h2s_by_name_and_start_at_5_percent(name: str) -> None:
    rates = dropout_rates(small(name, pictures(name)))
    assert [rate.name for rate in rates] == RATES[name]
    assert {(rate.start, rate.low, rate.high) for rate in rates} == {(0.05, 0.0, 0.95)}


def test_h2_counts_3_4_8_16_and_9_rates() -> None:
    assert [len(RATES[name]) for name in NETWORKS] == [3, 4, 8, 16, 9]


@names
def test_width_multiplies_every_hidden_layer_and_no_other(name: str) -> None:
    x = pictures(name)
    with torch.device("meta"):
        whole, half = NETWORKS[name](x.to("meta")), NETWORKS[name](x.to("meta"), width=0.5, classes=7)
    sizes = [[len(m.weight) for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d)] for net in (whole, half)]
    assert sizes[1] == [*(size // 2 for size in sizes[0][:-1]), 7]


@pytest.mark.parametrize("size", [8, 28])
def test_the_small_two_take_digits_too(size: int) -> None:
    x = torch.rand(3, 1, size, size)
    for name in ("mlp", "simple-cnn"):
        assert small(name, x)(x).shape == (3, 10)


def test_the_first_layer_standardises_each_channel_of_the_training_images() -> None:
    x = pictures("alexnet") * torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    net = small("alexnet", x)
    assert isinstance(net[0], Standardise)
    seen = net[0](x).numpy()
    assert_allclose(seen.mean((0, 2, 3)), np.zeros(3), atol=1e-5)
    assert_allclose(seen.std((0, 2, 3)), np.ones(3), rtol=1e-5)


def test_mean_and_scale_travel_in_the_state() -> None:
    x = pictures("mlp")
    net, other = small("mlp", x), small("mlp", x / 2)
    other.load_state_dict(net.state_dict())
    assert torch.equal(net.eval()(x), other.eval()(x))


@pytest.mark.parametrize("name", ["mlp", "alexnet"])
def test_input_dropout_drops_pixels(name: str) -> None:
    x = pictures(name, n=20)
    net = small(name, x)
    hyper, seen = Hyperparameters(dropout_rates(net)), []
    hyper.lam.data.fill_(float(np.log(0.5 / 0.45)))  # s(λ) = 0.5
    attached = Hypernetwork(net, hyper, Draws(torch.Generator().manual_seed(0)))
    net.get_submodule("drop_input").register_forward_hook(lambda module, inputs, output: seen.append(output))
    with attached.through(hyper.centre(20)):
        net(x)
    surviving = seen[0] != 0
    # Half of each image's pixels, 6 standard errors of 28 * 28 coins either way; in colour each channel by itself.
    assert_allclose(surviving.float().mean((1, 2, 3)), np.full(20, 0.5), atol=6 * 0.5 / 28)
    assert name == "mlp" or not torch.equal(surviving[:, 0], surviving[:, 1])


@names
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_moves_every_part_of_every_network(name: str, method: Method) -> None:
    x, t = pictures(name), torch.arange(6)
    net = small(name, x)
    tuner = Tuner(net, Hyperparameters(dropout_rates(net)), F.cross_entropy, method=method)
    before = [parameter.clone() for parameter in (*tuner.net.w0, tuner.hyper.lam, tuner.hyper.raw_sigma)]
    for _ in range(2):
        assert torch.isfinite(tuner.inner_step(x, t).loss)
    assert torch.isfinite(tuner.outer_step(x, t).loss)
    for old, new in zip(before, (*tuner.net.w0, tuner.hyper.lam, tuner.hyper.raw_sigma), strict=True):
        assert not torch.equal(old, new)
        assert torch.isfinite(new).all()
    for key, parameter in tuner.net.responses.named_parameters():
        assert parameter.any() or not key.endswith(".U"), key
    tuner.detach()
    assert torch.isfinite(net.eval()(x)).all()


@names
def test_dual_numbers_through_the_network_are_a_jvp_of_the_plain_one(name: str) -> None:
    x = pictures(name).double()
    model = small(name, x)
    model.double()
    for rate in (module for module in model.modules() if isinstance(module, nn.Dropout)):
        rate.eval()  # what is left is a function of the weights
    plain = copy.deepcopy(model)
    hyper = Hyperparameters(dropout_rates(model))
    net = Hypernetwork(model, hyper, Draws(torch.Generator()))
    generator = torch.Generator().manual_seed(1)
    for parameter in net.Theta:
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    c = torch.randn(1, len(hyper), generator=generator, dtype=torch.float64)
    with frozen(net.w0):
        point = Pass(c, c, 6, kind="linearised")
        outputs = evaluate(net, Objective(model, F.cross_entropy), x, torch.arange(6), point)[1]
    dw = {key: response.changes(c)[0] for key, _, response in net}
    w0 = dict(plain.named_parameters())
    with frozen_statistics(plain):
        value, tangent, *_ = jvp(lambda w: functional_call(plain, w, (x,)), (w0,), (dw,))
    assert tangent.abs().max() > 1e-3 * value.abs().max()
    assert_allclose(outputs, (value + tangent).detach(), rtol=1e-9, atol=1e-9 * tangent.abs().max().item())


def test_standardising_alone_has_nothing_to_learn() -> None:
    assert not list(Standardise(pictures("mlp")).parameters())
