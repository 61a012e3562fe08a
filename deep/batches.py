"""Which examples make which batch: a function of the seed and of a number, so that a place in the data is a number.

name     meaning
order    a permutation of the examples for each epoch, from (seed, epoch); the stored order where not shuffled
share    of each batch this process takes its consecutive rows (torch.tensor_split)
"""

from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset, default_collate

from deep.digests import digest
from deep.hyper.parallel import examples, processes, rank
from reference.command import UserError


@dataclass(frozen=True)
class Batches:
    """Batches of a map-style dataset of (input, target) pairs.

    Args:
        dataset: with a length; a TensorDataset, or a Subset of one, is indexed at once.
        size: examples in a batch; None where each item of the dataset is a whole batch (streams of text).
        shuffle: another order in each epoch.

    Raises:
        UserError: the dataset is empty or not map-style, the size is not positive, its items are no pairs, or a batch
            has less than a row for each process.

    Example:
        >>> batches = Batches(TensorDataset(torch.arange(5.0), torch.arange(5)), size=2, seed=0, shuffle=False)
        >>> len(batches), batches.batch(2), batches.batch(3)[0]
        (3, (tensor([4.]), tensor([4])), tensor([0., 1.]))
    """

    dataset: Dataset[Any]
    size: int | None
    seed: int
    shuffle: bool = True
    device: torch.device | str = "cpu"

    def __post_init__(self) -> None:
        if isinstance(self.dataset, (DataLoader, IterableDataset)):
            what = f"{type(self.dataset).__name__} has no items by number, from which batches are drawn"
            raise UserError(f"{what}; give a map-style dataset (of a DataLoader its `dataset`), and a batch_size")
        if not self.examples:
            raise UserError("a dataset is empty; give training and validation at least one example each")
        if self.size is not None and self.size < 1:
            raise UserError(f"a batch of {self.size} examples; choose 1 or more")
        if self.last is not None:
            _shared(self.last)

    @property
    def examples(self) -> int:
        """Items of the dataset."""
        return len(cast(Sized, self.dataset))

    @property
    def last(self) -> int | None:
        """Examples in an epoch's last batch, than which none is smaller; None where an item's size is its own."""
        return None if self.size is None else self.examples - (len(self) - 1) * self.size

    @cached_property
    def digest(self) -> str | None:
        """8 hex digits of the dataset's tensors, or of which examples of them it is; None where it has no `tensors`."""
        whole, indices = _behind(self.dataset)
        tensors = [leaf for leaf in tree_leaves(getattr(whole, "tensors", ())) if isinstance(leaf, Tensor)]
        return digest([], [*tensors, torch.tensor(indices)]) if tensors else None

    def __len__(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return self.examples if self.size is None else -(-self.examples // self.size)

    def order(self, epoch: int) -> Tensor:
        """The examples in the order of an epoch."""
        return _permutation(self.examples, self.seed, epoch) if self.shuffle else torch.arange(self.examples)

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Any, Any]]:
        """An epoch's batches from batch `start` on."""
        order = self.order(number)
        for index in range(start, len(self)):
            yield self._take(order, index)

    def batch(self, number: int) -> tuple[Any, Any]:
        """Batch `number` of the endless stream of epochs."""
        epoch, index = divmod(number, len(self))
        return self._take(self.order(epoch), index)

    def _take(self, order: Tensor, index: int) -> tuple[Any, Any]:
        if self.size is None:
            batch = _pair(self.dataset[int(order[index])])
            _shared(examples(batch))
            return tree_map(lambda leaf: torch.tensor_split(leaf, processes())[rank()].to(self.device), batch)
        rows = torch.tensor_split(order[index * self.size : (index + 1) * self.size], processes())[rank()]
        batch = _pair(_rows(self.dataset, rows))
        # What a collation leaves as it is, such as names, goes along.
        return tree_map(lambda leaf: leaf.to(self.device) if isinstance(leaf, Tensor) else leaf, batch)


def overlap(train: Dataset[Any], valid: Dataset[Any]) -> int:
    """How many examples two datasets share, as far as they are subsets of one dataset, or of the same tensors."""
    (one, ours), (other, theirs) = _behind(train), _behind(valid)
    tensors = [[leaf.data_ptr() for leaf in tree_leaves(getattr(whole, "tensors", ()))] for whole in (one, other)]
    same = one is other or (tensors[0] and tensors[0] == tensors[1])
    return len(set(ours) & set(theirs)) if same else 0


def _behind(dataset: Dataset[Any]) -> tuple[Dataset[Any], Sequence[int]]:
    """The dataset behind a subset of a subset, and which of its examples are meant."""
    if not isinstance(dataset, Subset):
        return dataset, range(len(cast(Sized, dataset)))
    whole, indices = _behind(dataset.dataset)
    return whole, [indices[int(index)] for index in dataset.indices]


@lru_cache(maxsize=8)  # each outer step asks for the validation set's
def _permutation(n: int, seed: int, epoch: int) -> Tensor:
    # Two numbers make one seed; the multiplier keeps epochs of neighbouring seeds apart.
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(n, generator=generator)


def _shared(rows: int) -> None:
    if rows < processes():
        what = f"a batch of {rows} examples is too small for {processes()} processes"
        raise UserError(f"{what}; change the batch size, or leave examples out, so that the last batch has more")


def _pair(batch: Any) -> tuple[Any, Any]:
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        found = f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else f"a {type(batch).__name__}"
        raise UserError(f"the dataset's items are {found}, not (input, target); pair them, as in a Dataset of your own")
    return batch[0], batch[1]


def _rows(dataset: Dataset[Any], rows: Tensor) -> Any:
    # A subclass may do more in its __getitem__ than these two.
    if type(dataset) is Subset:
        return _rows(dataset.dataset, torch.tensor([int(dataset.indices[row]) for row in rows.tolist()]))
    if type(dataset) is TensorDataset:
        return tuple(tensor[rows] for tensor in dataset.tensors)
    return default_collate([dataset[row] for row in rows.tolist()])
