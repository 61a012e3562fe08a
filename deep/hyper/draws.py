"""Where every draw of a step comes from: one generator, and every process's own rows of the draw for the whole batch.

    name       meaning
    z          ε/σ, standard normal, (n, h) or (1, h)
    uniform    what masks are made of, in float32 at least: of each example along an axis, or of the batch as one

With several processes each draws for all of them and keeps its rows, so that they follow one process exactly. What is
common to all examples is the same in every process, and only who draws can know which of the two it is.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from deep.hyper.generators import repeated
from deep.hyper.parallel import Share


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

    def uniform(self, shape: Sequence[int], like: Tensor, axis: int | None = 0) -> Tensor:
        """Uniforms on [0, 1), of one example each along an axis; for all examples together where that is None.

        Raises:
            UserError: several processes share the batch, and the axis is not this one's part of it.
        """
        sizes = list(shape)
        if axis is not None:
            sizes[axis] = self.share.total(sizes[axis])
        # bfloat16 has only 256 of them, by which a rate of 0.001 would drop three in a thousand.
        wide = torch.promote_types(like.dtype, torch.float32)
        every = torch.rand(sizes, generator=self.generator, device=like.device, dtype=wide)
        return every if axis is None else self.share.rows(every, axis)

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """What is drawn in the block is drawn once more after it; by a dropout that is not tuned, too."""
        before = self.generator.get_state()
        with repeated():
            yield
        self.generator.set_state(before)
