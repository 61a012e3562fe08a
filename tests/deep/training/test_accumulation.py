"""Several batches as one: the numbers of the one batch, to rounding."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from deep.hyper.declared import Hyperparameter
from deep.hyper.hyperparameters import Hyperparameters
from deep.rates.find import dropout_rates
from deep.training.fit import fit
from deep.tuner.tuner import Tuner
from reference.beyond.control_variate.updates import DELTA_STN_CV
from reference.rule.updates import DELTA_STN, METHODS

pytestmark = pytest.mark.usefixtures("no_types_checked")

EVERY = [*METHODS, DELTA_STN_CV, None]
close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-11)
"""A dozen steps in float64, sums of rows in another order."""


def tuner(method, seed: int = 0, **options) -> Tuner:
    """Tuned dropout, a layer norm and a weight decay; nothing that mixes examples, and no other draws."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Tanh(), nn.Dropout(0.3), nn.Linear(6, 3)).double()
    hyper = Hyperparameters([*dropout_rates(model), Hyperparameter("decay", start=1e-2)])

    def penalised(y, t):
        return F.cross_entropy(y, t) + (hyper["decay"] * made.squared_norm()).mean()

    step = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
    made = Tuner(
        model, hyper, penalised, F.cross_entropy, method=method, w0=step, Theta=step, lam=step, sigma=step, seed=seed,
        T_train=1, noise=method is None, **options,
    )  # fmt: skip
    return made


def data(n: int, seed: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    return TensorDataset(
        torch.randn(n, 4, dtype=torch.float64, generator=generator), torch.randint(0, 3, (n,), generator=generator)
    )


def numbers(item: Tuner) -> torch.Tensor:
    """Everything that steps move."""
    moved = [*item.net.w0, *item.net.Theta, item.hyper.lam, item.hyper.raw_sigma]
    return torch.cat([parameter.detach().flatten().double() for parameter in moved])


@pytest.mark.parametrize("method", EVERY, ids=lambda method: method.name if method else "plain")
@settings(max_examples=3)  # of three steps each
@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    seed=st.integers(0, 99),
    eps_per=st.sampled_from(["example", "batch"]),
)
def test_steps_over_batches_are_steps_on_one_batch_of_all_their_rows(method, sizes, seed, eps_per):
    whole, parts = tuner(method, seed, eps_per=eps_per), tuner(method, seed, eps_per=eps_per)
    for step in range(3):
        x, t = data(sum(sizes), seed + step).tensors
        batches = list(zip(x.split(sizes), t.split(sizes), strict=True))
        wanted, seen = whole.inner_step(x, t), parts.inner_step_over(batches)
        if method is not None:
            whole.outer_step(x, t)
            parts.outer_step_over(batches)
        close(seen.loss, wanted.loss)
        close(torch.cat(seen.outputs), wanted.outputs)
        for g, h in zip(seen.gradients, wanted.gradients, strict=True):
            close(g, h)
    close(numbers(parts), numbers(whole))
    assert torch.equal(parts.draws.generator.get_state(), whole.draws.generator.get_state())


@pytest.mark.parametrize("method", [DELTA_STN, DELTA_STN_CV], ids=lambda method: method.name)
@settings(max_examples=4)
@given(n=st.integers(6, 14), size=st.integers(1, 4), accumulate=st.integers(2, 4), loaders=st.booleans())
def test_fit_with_accumulation_is_fit_with_larger_batches(method, n, size, accumulate, loaders):
    def go(size: int, accumulate: int) -> Tuner:
        first, train, valid = tuner(method), data(n, 0), data(7, 1)
        pair = (DataLoader(train, size), DataLoader(valid, size)) if loaders else (train, valid)
        fit(first, *pair, 2, batch_size=size, accumulate=accumulate, progress=False)
        return first

    whole, parts = go(size * accumulate, 1), go(size, accumulate)
    assert (parts.inner_steps, parts.outer_steps) == (whole.inner_steps, whole.outer_steps)
    close(numbers(parts), numbers(whole))
