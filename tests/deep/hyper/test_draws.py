"""Shares of a draw, put together, are the draw of one process."""

from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from deep.hyper.declared import Hyperparameter
from deep.hyper.draws import Draws
from deep.hyper.hyperparameters import Hyperparameters
from deep.hyper.parallel import Share
from deep.responses.layouts import Place, Use, key_of
from deep.tuner.hypernet import Hypernetwork
from reference.console.command import UserError

counts = st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple)


def draws(share: Share) -> Draws:
    """Draws from a generator that starts alike."""
    return Draws(torch.Generator().manual_seed(1), share)


@given(counts=counts, features=st.integers(1, 4))
def test_shares_of_uniforms_make_the_whole(counts, features):
    like = torch.zeros((), dtype=torch.float64)
    whole = draws(Share())
    wanted = [whole.uniform((sum(counts), features), like) for _ in range(2)]
    parts = []
    for rank, n in enumerate(counts):
        with patch("deep.hyper.parallel.rank", lambda rank=rank: rank):
            here = draws(Share(counts))
            parts.append([here.uniform((n, features), like) for _ in range(2)])
            # All generators stand at the same place afterwards, whatever their shares.
            assert torch.equal(here.generator.get_state(), whole.generator.get_state())
    for k in range(2):
        assert torch.equal(torch.cat([part[k] for part in parts]), wanted[k])
    assert wanted[0].dtype == torch.float64
    assert not torch.equal(*wanted)


def dropped(module: nn.Dropout, x: torch.Tensor, own: Draws, rate: float = 0.5, axis: bool = True) -> torch.Tensor:
    """An input, dropped in a pass at a rate of the batch's; with `axis`, x has the batch on its first."""
    hyper = Hyperparameters([Hyperparameter("0", start=rate, high=0.95, per="batch")])
    net = Hypernetwork(nn.Sequential(module, nn.Linear(1, 1)), hyper, own, respond=False)
    net.layouts.uses[key_of("0", F.dropout, [x])] = Use((Place(0) if axis else None,), (None,))
    with net.through(hyper.centre(len(x))):
        return net.model[0](x)  # type: ignore[operator]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_small_rate_is_itself_in_every_precision(dtype: torch.dtype) -> None:
    """Of bfloat16's 256 uniforms none is between 0 and 0.0039."""
    y = dropped(nn.Dropout(0.5), torch.ones(100, 1000, dtype=dtype), draws(Share()), 1e-3)
    assert y.dtype == dtype
    assert abs(int((y == 0).sum()) - 100) < 6 * 100**0.5


@given(counts=counts, rank=st.integers(0, 4), features=st.integers(1, 4))
def test_a_mask_of_weights_is_everyones_though_it_has_as_many_rows_as_a_process_has_examples(counts, rank, features):
    """As DropConnect's may by chance; a mask of examples of the same shape is cut from the whole batch's."""
    rank %= len(counts)
    ones = torch.ones(counts[rank], features, dtype=torch.float64)
    with patch("deep.hyper.parallel.rank", lambda: rank):
        weights, rows = (dropped(nn.Dropout(0.5), ones, draws(Share(counts)), axis=own) for own in (False, True))
    assert torch.equal(weights, dropped(nn.Dropout(0.5), ones, draws(Share())))
    every = torch.ones(sum(counts), features, dtype=torch.float64)
    assert torch.equal(rows, dropped(nn.Dropout(0.5), every, draws(Share())).split(list(counts))[rank])


def test_rows_that_are_no_examples_cannot_be_shared():
    like = torch.zeros(())
    with (
        patch("deep.hyper.parallel.rank", lambda: 1),
        pytest.raises(UserError, match="3 rows are drawn for 2 examples"),
    ):
        draws(Share((3, 2))).uniform((3, 4), like)


@given(counts=counts)
def test_weights_are_parts_of_the_mean(counts):
    losses = torch.randn(sum(counts), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for rank, part in enumerate(losses.split(list(counts))):
        with patch("deep.hyper.parallel.rank", lambda rank=rank: rank):
            total += Share(counts).weight() * part.mean()
    assert torch.isclose(total, losses.mean(), rtol=1e-12)
