"""A DataLoader's batches as they come, and the place in them from which a run that was stopped goes on."""

import copy
from collections.abc import Iterator, Sized
from itertools import islice
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, Dataset

from deep.hyper.generators import generators, set_generators
from deep.training.batches import Batch, Batches, moved
from reference.console.command import UserError


class Loader:
    """A DataLoader as it is: its own batches, order and collation.

    Where a pass over it was interrupted, the next one repeats its draws from the generators of PyTorch, NumPy and
    Python and the loader's own, and skips what was seen. A dataset or a sampler with another state begins anew.
    """

    seed = None

    def __init__(self, loader: DataLoader[Any], device: torch.device | str = "cpu") -> None:
        self.loader, self.device = loader, device
        self._place, self._begun = (0, 0), None
        self._iterator: Iterator[Any] | None = None

    @property
    def dataset(self) -> Dataset[Any]:
        """What it loads."""
        return self.loader.dataset

    @property
    def size(self) -> int | None:
        """Examples in a batch, where they are so many each."""
        return self.loader.batch_size

    @property
    def examples(self) -> int | None:
        """Items of the dataset, where it knows them."""
        return len(cast(Sized, self.dataset)) if hasattr(self.dataset, "__len__") else None

    @property
    def last(self) -> int | None:
        """Examples in the smallest batch, as far as that is known."""
        if self.size is None or self.examples is None:
            return None
        return self.size if self.loader.drop_last else (len(cast(Sized, self.loader.sampler)) - 1) % self.size + 1

    @property
    def digest(self) -> str | None:
        """As of its dataset alone."""
        return None if self.examples is None else Batches(self.dataset, 1, 0).digest

    def __len__(self) -> int:
        """Batches in an epoch.

        Raises:
            TypeError: it does not know.
        """
        return len(self.loader)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """An epoch's batches from batch `start` on."""
        if self._iterator is None or self._place != (number, start):
            self._open(number, start)
        assert self._iterator is not None
        for batch in self._iterator:
            self._place = (number, self._place[1] + 1)
            yield moved(batch, self.device)
        self._place, self._iterator = (number + 1, 0), None

    def _open(self, number: int, start: int) -> None:
        if hasattr(self.loader.sampler, "set_epoch"):
            self.loader.sampler.set_epoch(number)  # type: ignore[attr-defined]
        now = self._generators()
        if start and self._begun is not None:
            self._set_generators(self._begun)
        self._begun = self._generators()
        self._iterator = iter(_independent(self.loader))
        for _ in islice(self._iterator, start):
            pass
        if start:
            self._set_generators(now)
        self._place = (number, start)

    def sweep(self) -> Iterator[Batch]:
        """Every batch once, beside the endless stream."""
        return (moved(batch, self.device) for batch in _independent(self.loader))

    def first(self) -> Batch:
        """A first batch; nothing has been drawn afterwards.

        Raises:
            UserError: there is none.
        """
        before = self._generators()
        batch = next(self.sweep(), None)
        self._set_generators(before)
        if batch is None:
            raise UserError("a DataLoader yields no batch; give training and validation at least one each")
        return batch

    def group(self, number: int, size: int) -> list[Batch]:
        """The next batches of the endless stream of epochs, whatever their number."""
        group = list(islice(self.epoch(*self._place), size))
        return group or list(islice(self.epoch(*self._place), size)) or [self.first()]

    def state_dict(self) -> dict[str, Any]:
        """The place, the generators at the beginning of its epoch, and the loader's own now."""
        return {"place": self._place, "begun": self._begun, "now": self._generators()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a place."""
        self._place, self._begun = tuple(state["place"]), state["begun"]
        self._set_generators(state["now"])

    def _generators(self) -> dict[str, Any]:
        drawn = self.loader.generator
        return {"all": generators(), "loader": None if drawn is None else drawn.get_state()}

    def _set_generators(self, states: dict[str, Any]) -> None:
        set_generators(states["all"])
        if self.loader.generator is not None:
            self.loader.generator.set_state(states["loader"].cpu())


def _independent(loader: DataLoader[Any]) -> DataLoader[Any]:
    """The loader, or where it keeps workers a copy with its own: a second pass would take them from the first."""
    if not loader.persistent_workers:
        return loader
    loader = copy.copy(loader)
    loader._iterator = None
    return loader


def source(
    data: Dataset[Any] | DataLoader[Any], size: int, seed: int, device: torch.device, shuffle: bool = True
) -> Batches | Loader:
    """The batches of a dataset, or a DataLoader's."""
    return Loader(data, device) if isinstance(data, DataLoader) else Batches(data, size, seed, shuffle, device)
