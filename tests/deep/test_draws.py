"""Shares of a draw, put together, are the draw of one process."""

from unittest.mock import patch

import torch
from hypothesis import given
from hypothesis import strategies as st

from deep.draws import Draws
from deep.parallel import Share

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
        with patch("deep.parallel.rank", lambda rank=rank: rank):
            here = draws(Share(counts))
            parts.append([here.uniform((n, features), like) for _ in range(2)])
            # All generators stand at the same place afterwards, whatever their shares.
            assert torch.equal(here.generator.get_state(), whole.generator.get_state())
    for k in range(2):
        assert torch.equal(torch.cat([part[k] for part in parts]), wanted[k])
    assert wanted[0].dtype == torch.float64
    assert not torch.equal(*wanted)


@given(counts=counts)
def test_weights_are_parts_of_the_mean(counts):
    losses = torch.randn(sum(counts), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for rank, part in enumerate(losses.split(list(counts))):
        with patch("deep.parallel.rank", lambda rank=rank: rank):
            total += Share(counts).weight() * part.mean()
    assert torch.isclose(total, losses.mean(), rtol=1e-12)
