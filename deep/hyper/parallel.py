"""Several processes as one: which rows of a batch are this process's, and sums over all processes.

With no process group there is one process and nothing is communicated.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._pytree import tree_leaves

from reference.console.command import UserError


def processes() -> int:
    """How many processes work together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if processes() > 1 else 0


def require_process_group() -> None:
    """What `torchrun` has started works together, or every process would train the whole run.

    Raises:
        UserError: there are several processes and no group.
    """
    started = int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1
    if started > 1 and processes() == 1:
        problem = f"torchrun has started {started} processes that have no group, and each would train the whole run"
        raise UserError(f"{problem}; call torch.distributed.init_process_group() before the Tuner is made")


def follow_first(tensors: Iterable[Tensor]) -> None:
    """Give these tensors the values that they have in process 0."""
    if processes() > 1:
        for tensor in tensors:
            dist.broadcast(tensor.detach(), 0)


def gathered(value: Any) -> list[Any]:
    """A value from every process."""
    values = [value] * processes()
    if processes() > 1:
        dist.all_gather_object(values, value)
    return values


def summed(values: Sequence[float], device: torch.device) -> list[float]:
    """Sums over all processes."""
    if processes() == 1:
        return list(values)
    total = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return total.tolist()


def anywhere(fact: bool, device: torch.device) -> bool:
    """Whether something is so in any process: all decide alike, and none waits for another that has left."""
    return summed([float(fact)], device)[0] > 0


@dataclass(frozen=True)
class Share:
    """How a batch lies over parts, counts[r] consecutive rows in part r, and which of them this is.

    A part is a process, or where gradients are accumulated one of its passes. Empty where the batch is whole.
    """

    counts: tuple[int, ...] = ()
    part: int = field(default_factory=lambda: rank())

    @staticmethod
    def of(sizes: Sequence[int], device: torch.device) -> list["Share"]:
        """The shares of a batch of which this process holds so many rows in each of its passes."""
        counts = [torch.tensor(sizes, device=device) for _ in range(processes())]
        if processes() > 1:
            dist.all_gather(counts, counts[rank()].clone())
        rows = tuple(int(count) for of_pass in zip(*counts, strict=True) for count in of_pass)
        return [Share(rows, k * processes() + rank()) if len(rows) > 1 else Share() for k in range(len(sizes))]

    def total(self, n: int) -> int:
        """Rows of the whole batch, of which this part holds n: several for each example where a model regroups them.

        Raises:
            UserError: it holds another number of examples.
        """
        if not self.counts:
            return n
        times, remainder = divmod(n, self.counts[self.part])
        if remainder:
            problem = (
                f"{n} rows are drawn for {self.counts[self.part]} examples, so they cannot be shared among processes"
            )
            raise UserError(f"{problem}; keep examples on one axis, or draw for all of them at once")
        return times * sum(self.counts)

    def rows(self, draws: Tensor, axis: int = 0) -> Tensor:
        """This part's rows of a draw for the whole batch; `total` says of how many."""
        if not self.counts:
            return draws
        times = draws.shape[axis] // sum(self.counts)
        return draws.split([times * count for count in self.counts], axis)[self.part]

    def weight(self) -> float:
        """w_r: the part of the batch's mean that this part's mean is."""
        return self.counts[self.part] / sum(self.counts) if self.counts else 1.0


def added(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Sums of tensors over all processes, in one message."""
    if processes() == 1:
        return tensors
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    return [part.reshape(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def examples(batch: Any) -> int:
    """Rows on the first axis of the first tensor that has one in a batch, or in its inputs; 0 where there is none."""
    tensors = [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor) and leaf.ndim]
    return len(tensors[0]) if tensors else 0
