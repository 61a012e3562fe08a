"""Batches are a function of (seed, epoch), hold every example once an epoch, and agree over kinds of datasets."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, IterableDataset, StackDataset, Subset, TensorDataset

from deep.paper.data.text import Streams
from deep.training.batches import Batches, examples, overlap
from reference.console.command import UserError

sizes = st.integers(1, 40)


class Items(Dataset):
    """Nothing but a length and items, as a dataset of one's own may be."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int):
        return torch.tensor([index, 2.0]), index % 3


class Stream(IterableDataset):
    """Items in a row, without numbers."""

    def __iter__(self):
        return iter(())


def tensors(n: int) -> TensorDataset:
    """The same as tensors."""
    rows = torch.arange(n)
    return TensorDataset(torch.stack([rows, torch.full((n,), 2)], 1).float(), rows % 3)


def equal(item, other) -> bool:
    """Whether two lists of batches are the same."""
    pairs = zip(item, other, strict=True)
    return all(torch.equal(a, b) for x, y in pairs for a, b in zip(x, y, strict=True))


@given(n=sizes, size=st.integers(1, 15), seed=st.integers(-(2**70), 2**70), epoch=st.integers(0, 1000))
def test_an_epoch_holds_every_example_once(n, size, seed, epoch):
    batches = list(Batches(tensors(n), size, seed).epoch(epoch))
    assert sorted(torch.cat([x for x, _ in batches])[:, 0].tolist()) == list(range(n))
    assert [len(x) for x, _ in batches[:-1]] == [size] * (len(batches) - 1)
    assert len(batches) == len(Batches(tensors(n), size, seed)) == -(-n // size)
    assert all(torch.equal(x[:, 0].long() % 3, t) for x, t in batches)


@given(n=sizes, size=st.integers(1, 15), seed=st.integers(0, 99), shuffle=st.booleans(), start=st.integers(0, 9))
def test_the_stream_of_batches_is_the_epochs_in_turn(n, size, seed, shuffle, start):
    batches = Batches(tensors(n), size, seed, shuffle)
    stream = [batch for epoch in range(3) for batch in batches.epoch(epoch)]
    assert equal(stream, [batches.batch(k) for k in range(len(stream))])
    assert equal(list(batches.epoch(1, start)), list(Batches(tensors(n), size, seed, shuffle).epoch(1))[start:])


def test_another_seed_or_epoch_is_another_order():
    orders = {tuple(Batches(tensors(20), 5, seed).order(epoch).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25
    assert Batches(tensors(20), 5, 0, shuffle=False).order(3).tolist() == list(range(20))


@given(n=sizes, size=st.integers(1, 15), seed=st.integers(0, 99))
def test_kinds_of_datasets_agree(n, size, seed):
    rows = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
    back = [rows.index(k) for k in range(n)]
    kinds = [
        Items(n),
        Subset(Subset(tensors(n), rows), back),
        Subset(Items(n), torch.arange(n)),  # type: ignore[arg-type]
        StackDataset(*tensors(n).tensors),  # type: ignore[arg-type]
    ]
    wanted = list(Batches(tensors(n), size, seed).epoch(1))
    for kind in kinds:
        assert equal(Batches(kind, size, seed).epoch(1), wanted)
    assert equal(Batches(Items(n), size, seed, shuffle=False).epoch(1), DataLoader(Items(n), size))


def test_what_a_subclass_does_with_an_item_is_done():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            x, t = super().__getitem__(index)
            return 2 * x, t

    class Halved(Subset):
        def __getitem__(self, index):
            x, t = self.dataset[self.indices[index]]
            return x / 2, t

        def __getitems__(self, indices):
            return [self[index] for index in indices]

    doubled = Batches(Doubled(*tensors(6).tensors), 4, 0)
    for (x, _), (wanted, _) in zip(doubled.epoch(0), Batches(tensors(6), 4, 0).epoch(0), strict=True):
        assert torch.equal(x, 2 * wanted)
    halved = Batches(Halved(Doubled(*tensors(6).tensors), range(6)), 4, 0)
    assert equal(halved.epoch(0), Batches(tensors(6), 4, 0).epoch(0))


def test_an_item_may_be_a_whole_batch():
    class Streams(Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return torch.full((4, 7), index), torch.full((4, 7), index + 1)

    batches = Batches(Streams(), None, 0, shuffle=False)
    assert len(batches) == 3
    assert [(x.shape, int(x[0, 0]), int(t[0, 0])) for x, t in batches.epoch(0)] == [
        ((4, 7), k, k + 1) for k in range(3)
    ]
    assert int(batches.batch(5)[0][0, 0]) == 2


@given(n=st.integers(2, 20), seed=st.integers(0, 99), cut=st.integers(0, 20))
def test_overlap_counts_shared_examples(n, seed, cut):
    generator = torch.Generator().manual_seed(seed)
    whole, halves = tensors(n), [torch.randint(-n, n, (cut,), generator=generator).tolist() for _ in range(2)]
    first, other = (Subset(whole, half) for half in halves)
    shared = len({k % n for k in halves[0]} & {k % n for k in halves[1]})
    assert overlap(first, other) == shared
    assert overlap(Subset(first, range(cut)), Subset(Subset(whole, range(n)), [k % n for k in halves[1]])) == shared
    assert overlap(whole, first) == overlap(first, whole) == len({k % n for k in halves[0]})
    assert overlap(whole, tensors(n)) == 0


def test_errors():
    for dataset, size, wanted in ((tensors(0), 3, "dataset is empty"), (tensors(2), 0, "a batch of 0 examples")):
        with pytest.raises(UserError, match=wanted):
            Batches(dataset, size, 0)
    with pytest.raises(
        UserError, match=r"Stream has no items by number.*give a map-style dataset, or a torch.utils.data.DataLoader"
    ):
        Batches(Stream(), 2, 0)


class Given(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


@pytest.mark.parametrize(("items", "kind"), [([(1, 2, 3)] * 2, "3 parts"), ([1.0] * 2, "a Tensor")])
def test_items_that_are_no_pairs_are_one_line(items, kind):
    with pytest.raises(UserError, match=rf"^the dataset's items are {kind}, not \(input, target\); pair them"):
        Batches(Given(items), 2, 0).batch(0)


def test_what_is_no_tensor_goes_along_and_numbers_are_no_rows():
    x, _ = Batches(Given([({"name": name, "x": torch.ones(3)}, 0) for name in "ab"]), 2, 0).batch(0)
    assert sorted(x["name"]) == ["a", "b"]
    assert examples((torch.tensor(0.5), torch.ones(4, 3))) == 4


def test_a_digest_is_of_the_content_as_far_as_it_is_tensors():
    def digest(dataset, size: int | None = 2):
        return Batches(dataset, size, seed=0).digest

    other = TensorDataset(tensors(6).tensors[0], 1 - tensors(6).tensors[1])
    different = [
        *(tensors(6), tensors(7), other, TensorDataset(*(tensor.double() for tensor in other.tensors))),
        *(Subset(other, [0, 2]), Subset(other, [0, 3]), Subset(Subset(other, [1, 0, 2]), [0, 1])),
    ]
    assert len({digest(item) for item in different}) == len(different)
    assert digest(tensors(6)) == digest(tensors(6))
    assert digest(Subset(other, [1, 0])) == digest(different[-1])
    assert digest(Streams(torch.arange(9), 2, 3), None) != digest(Streams(torch.arange(9).flip(0), 2, 3), None)
    assert digest(Items(6)) is None
