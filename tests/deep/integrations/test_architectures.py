"""GPT-2, BERT, Llama, T5 and ViT attach as they come, and are at each example's own weights."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from deep.hyper.hyperparameters import Hyperparameters, Pass
from deep.rates.find import dropout_rates
from deep.responses.contexts import evaluating, frozen
from deep.tuner.gradients import Objective, evaluate
from deep.tuner.tuner import Tuner
from reference.beyond.control_variate.updates import DELTA_STN_CV
from reference.rule.updates import DELTA_STN, METHODS
from tests.deep.integrations.small import foreign
from tests.deep.strategies import close, explicit, randomise

transformers = pytest.importorskip("transformers", reason="needs '.[integrations]'")

pytestmark = [*foreign, pytest.mark.usefixtures("no_types_checked")]

N = 3
WIDTHS: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "vocab_size": 20,
}


def tokens(*names: str) -> dict[str, Tensor]:
    """Sequences of five tokens by the names of a model's arguments."""
    return {name: torch.randint(3, 20, (N, 5)) for name in names}


def gpt2() -> tuple[Any, Any, dict[str, Tensor]]:
    config = transformers.GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=20, n_positions=8)
    return transformers.GPT2LMHeadModel, config, tokens("input_ids")


def bert() -> tuple[Any, Any, dict[str, Tensor]]:
    config = transformers.BertConfig(**WIDTHS, max_position_embeddings=8)
    return transformers.BertForSequenceClassification, config, tokens("input_ids")


def llama() -> tuple[Any, Any, dict[str, Tensor]]:
    config = transformers.LlamaConfig(**WIDTHS, num_key_value_heads=1, attention_dropout=0.1)
    return transformers.LlamaForCausalLM, config, tokens("input_ids")


def t5() -> tuple[Any, Any, dict[str, Tensor]]:
    config = transformers.T5Config(d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2, vocab_size=20)
    return transformers.T5ForConditionalGeneration, config, tokens("input_ids", "decoder_input_ids")


def vit() -> tuple[Any, Any, dict[str, Tensor]]:
    sizes = {name: width for name, width in WIDTHS.items() if name != "vocab_size"}
    config = transformers.ViTConfig(**sizes, image_size=8, patch_size=4, hidden_dropout_prob=0.1)
    return transformers.ViTForImageClassification, config, {"pixel_values": torch.randn(N, 3, 8, 8)}


Architecture = Callable[[], tuple[Any, Any, dict[str, Tensor]]]
architectures = pytest.mark.parametrize("architecture", [gpt2, bert, llama, t5, vit], ids=lambda make: make.__name__)


def prepared(architecture: Architecture) -> tuple[nn.Module, nn.Module, dict[str, Tensor]]:
    """A model as it comes, a copy in evaluation mode, and inputs."""
    torch.manual_seed(0)
    kind, config, x = architecture()
    model = kind(config)
    return model, copy.deepcopy(model).eval(), x


def attached(model: nn.Module, method: Any) -> Tuner:
    """A tuner with no more than a method."""
    return Tuner(model, Hyperparameters(dropout_rates(model)), loss, method=method)


def loss(outputs: Any, _targets: Any) -> Tensor:
    """Something of every output."""
    return outputs.logits.square().mean()


@architectures
@pytest.mark.parametrize("method", [*METHODS, DELTA_STN_CV], ids=lambda method: method.name)
def test_it_attaches_with_no_further_argument_and_steps(architecture: Architecture, method: Any) -> None:
    model, _, x = prepared(architecture)
    tuner = attached(model, method)
    for _ in range(2):
        inner, outer = tuner.inner_step(x, None), tuner.outer_step(x, None)
        tensors = [inner.loss, outer.loss, *inner.gradients, *outer.gradients, *tuner.net.Theta]
        assert all(tensor.isfinite().all() for tensor in tensors)
    assert all(response.U.any() for _, _, response in tuner.net)
    assert tuner.coverage().parameters == 1.0


def looked_at(architecture: Architecture) -> tuple[Tuner, nn.Module, dict[str, Tensor], Pass]:
    """A tuner in float64 with responses away from zero, and a pass with an ε for each example."""
    model, plain, x = prepared(architecture)
    x = {name: value.double() if value.is_floating_point() else value for name, value in x.items()}
    tuner = attached(model.double(), DELTA_STN)
    tuner.look(x)
    randomise(tuner.net)
    lam = tuner.hyper.lam.detach().expand(N, -1)
    return tuner, plain.double(), x, Pass(lam, torch.randn(N, len(tuner.hyper), dtype=torch.float64), N)


def alone(plain: nn.Module, x: dict[str, Tensor], i: int) -> Callable[[dict[str, Tensor]], Tensor]:
    """Example i's logits as a function of the weights."""
    own = {name: value[i : i + 1] for name, value in x.items()}
    return lambda weights: functional_call(plain, weights, (), own).logits[0]


@architectures
def test_the_perturbed_pass_is_at_each_examples_own_weights(architecture: Architecture) -> None:
    tuner, plain, x, now = looked_at(architecture)
    w, c = dict(tuner.model.named_parameters()), now.c
    assert c is not None
    with torch.no_grad(), evaluating(tuner.model), tuner.net.through(now):
        logits = tuner.model(**x).logits
    moved = [{**w, **{name: w[name] + delta for name, delta in explicit(tuner.net, c_i).items()}} for c_i in c]
    with torch.no_grad():
        close(logits, torch.stack([alone(plain, x, i)(weights) for i, weights in enumerate(moved)]))


@architectures
def test_the_linearised_pass_is_jvps_at_each_examples_own_weights(architecture: Architecture) -> None:
    tuner, plain, x, now = looked_at(architecture)
    w, c = {name: p.detach() for name, p in tuner.model.named_parameters()}, now.c
    assert c is not None
    logits: list[Tensor] = []

    def keep(outputs: Any, _targets: Any) -> Tensor:
        logits.append(outputs.logits.detach())
        return outputs.logits.sum()

    with frozen(tuner.net.w0), evaluating(tuner.model):
        linearised = Pass(now.lam, c, N, "linearised")
        evaluate(tuner.net, Objective(tuner.training.predict, keep), x, None, linearised)
    wanted = []
    for i, c_i in enumerate(c):
        deltas = {name: torch.zeros_like(value) for name, value in w.items()}
        deltas |= {name: delta.detach() for name, delta in explicit(tuner.net, c_i).items()}
        with sdpa_kernel(SDPBackend.MATH):  # the others have no forward derivative
            both = jvp(alone(plain, x, i), (w,), (deltas,))
        wanted.append(both[0] + both[1])
    close(logits[0], torch.stack(wanted))
