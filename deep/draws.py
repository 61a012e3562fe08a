"""Where every draw of a step comes from: one generator, and every process's own rows of the draw for the whole batch.

    name             meaning
    z                ε/σ, standard normal, (n, h) or (1, h)
    uniform          what masks of examples are made of: its first axis is the batch's
    common_uniform   what masks of weights are made of: the batch has one; both in float32 at least

With several processes each draws for all of them and keeps its rows, so that they follow one process exactly. What is
common to all examples is the same in every process, and only who draws can know which of the two it is.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from deep.checkpoint import generators, set_generators
from deep.parallel import Share


@dataclass
class Draws:
    """Draws from one generator for the rows of `share`."""

    generator: torch.Generator
    share: Share = field(default_factory=Share)

    def normal(self, n: int, alone: Sequence[bool], like: Tensor) -> Tensor:
        """Standard normals (n, h) for n of the batch's rows; in a column that is `alone` all rows are the first one."""
        shape = (self.share.total(n), len(alone))
        every = torch.randn(shape, generator=self.generator, device=like.device, dtype=like.dtype)
        if any(alone):
            every = torch.where(torch.tensor(alone, device=like.device), every[:1], every)
        return self.share.rows(every)

    def uniform(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Uniforms on [0, 1), of one example each along the first axis.

        Raises:
            UserError: several processes share the batch, and the first axis is not this one's part of it.
        """
        n, *rest = shape
        return self.share.rows(self.common_uniform((self.share.total(n), *rest), like))

    def common_uniform(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Uniforms on [0, 1) for all examples of the batch together."""
        # bfloat16 has only 256 of them, by which a rate of 0.001 would drop three in a thousand.
        wide = torch.promote_types(like.dtype, torch.float32)
        return torch.rand(tuple(shape), generator=self.generator, device=like.device, dtype=wide)

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """What is drawn in the block is drawn once more after it; by a dropout that is not tuned, too."""
        own, others = self.generator.get_state(), generators()
        yield
        self.generator.set_state(own)
        set_generators(others)
