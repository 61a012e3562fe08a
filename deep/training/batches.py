"""Which examples of a dataset make which batch: a function of the seed and of a number.

name     meaning
order    a permutation of the examples for each epoch, from (seed, epoch); the stored order where not shuffled
share    of each batch this process takes its consecutive rows (torch.tensor_split)
group    the batches of one step: several where gradients are accumulated
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset, default_collate

from deep.hyper.parallel import examples, processes, rank
from deep.training.checkpoint import digest
from reference.console.command import UserError

Batch = tuple[Any, Any]
"""Inputs and targets."""


@dataclass(frozen=True)
class Batches:
    """Batches of a map-style dataset of (input, target) pairs, or of dictionaries.

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
        if isinstance(self.dataset, (DataLoader, IterableDataset)) or not hasattr(self.dataset, "__len__"):
            problem = f"{type(self.dataset).__name__} has no items by number, from which batches are drawn"
            raise UserError(f"{problem}; give a map-style dataset, or a torch.utils.data.DataLoader")
        if not self.examples:
            raise UserError("a dataset is empty; give training and validation at least one example each")
        if self.size is not None and self.size < 1:
            raise UserError(f"a batch of {self.size} examples; choose 1 or more")
        if self.last is not None:
            _require_rows(self.last)

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
        whole, indices = _unwrap_subset(self.dataset)
        tensors = [leaf for leaf in tree_leaves(getattr(whole, "tensors", ())) if isinstance(leaf, Tensor)]
        return digest([], [*tensors, torch.tensor(indices)]) if tensors else None

    def __len__(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return self.examples if self.size is None else -(-self.examples // self.size)

    def order(self, epoch: int) -> Tensor:
        """The examples in the order of an epoch."""
        return _permutation(self.examples, self.seed, epoch) if self.shuffle else torch.arange(self.examples)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """An epoch's batches from batch `start` on."""
        order = self.order(number)
        for index in range(start, len(self)):
            yield self._take(order, index)

    def sweep(self) -> Iterator[Batch]:
        """Every batch once."""
        return self.epoch(0)

    def first(self) -> Batch:
        """The batch on which a model is looked at before it trains."""
        return self.batch(0)

    def batch(self, number: int) -> Batch:
        """Batch `number` of the endless stream of epochs."""
        return self.group(number, 1)[0]

    def group(self, number: int, size: int) -> list[Batch]:
        """Group `number` of the endless stream of epochs; an epoch's last group may have fewer batches."""
        epoch, index = divmod(number, -(-len(self) // size))
        return list(islice(self.epoch(epoch, index * size), size))

    def state_dict(self) -> dict[str, Any]:
        """Nothing: a place is a number."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to set."""

    def _take(self, order: Tensor, index: int) -> Batch:
        if self.size is None:
            batch = pair(self.dataset[int(order[index])])
            _require_rows(examples(batch))
            return tree_map(lambda leaf: torch.tensor_split(leaf, processes())[rank()].to(self.device), batch)
        rows = torch.tensor_split(order[index * self.size : (index + 1) * self.size], processes())[rank()]
        return moved(_rows(self.dataset, rows), self.device)


def grouped(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Groups of consecutive batches; the last may have fewer."""
    batches = iter(batches)
    while group := list(islice(batches, size)):
        yield group


def overlap(train: Dataset[Any], valid: Dataset[Any]) -> int:
    """How many examples two datasets share, as far as they are subsets of one dataset, or of the same tensors."""
    if not all(hasattr(dataset, "__len__") for dataset in (train, valid)):
        return 0
    (train_whole, train_indices), (valid_whole, valid_indices) = _unwrap_subset(train), _unwrap_subset(valid)
    wholes = (train_whole, valid_whole)
    tensors = [[leaf.data_ptr() for leaf in tree_leaves(getattr(whole, "tensors", ()))] for whole in wholes]
    same = train_whole is valid_whole or (tensors[0] and tensors[0] == tensors[1])
    return len(set(train_indices) & set(valid_indices)) if same else 0


def _unwrap_subset(dataset: Dataset[Any]) -> tuple[Dataset[Any], Sequence[int]]:
    """The dataset behind a subset of a subset, and which of its examples are meant."""
    if not isinstance(dataset, Subset):
        return dataset, range(len(cast(Sized, dataset)))
    whole, indices = _unwrap_subset(dataset.dataset)
    return whole, [indices[int(index)] for index in dataset.indices]


@lru_cache(maxsize=8)  # each outer step asks for the validation set's
def _permutation(n: int, seed: int, epoch: int) -> Tensor:
    # Two numbers make one seed; the multiplier keeps epochs of neighbouring seeds apart.
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(n, generator=generator)


def _require_rows(rows: int) -> None:
    if rows < processes():
        problem = f"a batch of {rows} examples is too small for {processes()} processes"
        raise UserError(f"{problem}; change the batch size, or leave examples out, so that the last batch has more")


def pair(batch: Any) -> Batch:
    """Inputs and targets; of a dictionary all of it, and its `labels` (all of it where it has none).

    Raises:
        UserError: it is neither a pair nor a dictionary.

    Example:
        >>> pair({"input_ids": 1, "labels": 2})
        ({'input_ids': 1, 'labels': 2}, 2)
    """
    if isinstance(batch, Mapping):
        inputs = dict(batch)
        return inputs, inputs.get("labels", inputs)
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        kind = f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else f"a {type(batch).__name__}"
        raise UserError(f"the dataset's items are {kind}, not (input, target); pair them, as in a Dataset of your own")
    return batch[0], batch[1]


def moved(batch: Any, device: torch.device | str) -> Batch:
    """Inputs and targets on a device."""
    # What a collation leaves as it is, such as names, goes along.
    return tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, pair(batch))


def _rows(dataset: Dataset[Any], rows: Tensor) -> Any:
    # A subclass may do more in its __getitem__ than these two.
    if type(dataset) is Subset:
        return _rows(dataset.dataset, torch.tensor([int(dataset.indices[row]) for row in rows.tolist()]))
    if type(dataset) is TensorDataset:
        return tuple(tensor[rows] for tensor in dataset.tensors)
    return default_collate([dataset[row] for row in rows.tolist()])
