"""`fit` takes DataLoaders as they are, dictionaries, callbacks and schedulers, and refuses the rest in one line."""

import math
import random
import sys
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from deep.hyper.declared import Hyperparameter
from deep.hyper.hyperparameters import Hyperparameters
from deep.rates.find import dropout_rates
from deep.training.fit import fit
from deep.training.loader import Loader
from deep.training.run import Run
from deep.training.schedule import Schedule
from deep.tuner import gradients
from deep.tuner.tuner import Tuner
from reference.console.command import UserError
from tests.deep.small import data, history, killed_at, tuner

pytestmark = pytest.mark.usefixtures("no_types_checked")


class Augmented(Dataset):
    """Items that draw from PyTorch's and Python's own generators."""

    def __init__(self, whole: TensorDataset) -> None:
        self.whole = whole

    def __len__(self) -> int:
        return len(self.whole)

    def __getitem__(self, index: int):
        x, t = self.whole[index]
        return x + 0.1 * torch.randn(()) + 0.1 * random.random(), t


def seen_by(item: Tuner) -> list[torch.Tensor]:
    """The inputs of inner steps from now on."""
    shown: list[torch.Tensor] = []
    step = item.inner_step_over

    def watched(batches):
        shown.extend(x.clone() for x, _ in batches)
        return step(batches)

    item.inner_step_over = watched  # type: ignore[method-assign]
    return shown


def test_a_loaders_own_batches_order_and_collation_are_used():
    def collate(items):
        x, t = zip(*items, strict=True)
        return -torch.stack(x), torch.stack(t)

    first, train = tuner(None), data(17, 0)
    shown = seen_by(first)
    fit(
        first,
        DataLoader(train, 5, sampler=range(15, 0, -1), collate_fn=collate, drop_last=True),
        data(11, 1),
        2,
        progress=False,
    )
    wanted = [-train.tensors[0][range(15 - start, 10 - start, -1)] for start in (0, 5, 10)]
    assert all(torch.equal(x, y) for x, y in zip(shown, 2 * wanted, strict=True))


def loaders(kind: str) -> tuple[DataLoader, DataLoader]:
    options: dict[str, Any] = {
        "global generator": {},
        "own generator": {"generator": torch.Generator().manual_seed(5)},
        "workers": {"num_workers": 1},
        "kept workers": {"num_workers": 1, "persistent_workers": True},
    }[kind]
    train, valid = Augmented(data(17, 0)), Augmented(data(11, 1))
    return DataLoader(train, 5, shuffle=True, **options), DataLoader(valid, 5, shuffle=True, **options)


KINDS = ("global generator", "own generator", "workers", "kept workers")


@pytest.mark.parametrize(("kind", "accumulate"), [*product(KINDS, [1]), (KINDS[0], 2), (KINDS[-1], 2)])
def test_a_run_over_loaders_that_draw_goes_on_after_a_kill_with_the_same_numbers(
    tmp_path, monkeypatch, kind, accumulate
):
    monkeypatch.setattr("deep.training.fit.Run", partial(Run, checkpoint_seconds=0.0))

    def go(out: Path, init: int = 0) -> None:
        tuned = tuner(T_train=1, init=init)
        random.seed(init)
        fit(tuned, *loaders(kind), 3, out=out, accumulate=accumulate, progress=False)

    go(tmp_path / "straight")
    calls = (25, 40) if kind in ("global generator", "own generator") else (25,)
    for call in calls:
        broken = tmp_path / f"broken {call}"
        with killed_at(call, gradients, "evaluate"):
            go(broken)
        assert not (broken / "history.csv").exists()
        go(broken, init=9)
        assert history(broken) == history(tmp_path / "straight")


def test_looking_at_the_first_batch_draws_nothing():
    loader = DataLoader(Augmented(data(17, 0)), 5, shuffle=True)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    Loader(loader).first()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_endless_stream_of_a_loader_is_its_epochs_in_turn():
    loader = Loader(DataLoader(data(11, 1), 3))
    stream = [loader.group(number, 3) for number in range(5)]
    assert [len(group) for group in stream] == [3, 1, 3, 1, 3]
    batches = list(DataLoader(data(11, 1), 3))
    assert torch.equal(torch.cat([x for x, _ in (*stream[2], *stream[3])]), torch.cat([x for x, _ in batches]))


class Endless(IterableDataset):
    """Rows without a length."""

    def __iter__(self):
        x, t = data(12, 0).tensors
        yield from zip(x, t, strict=True)


def test_a_loader_without_a_length_is_taken(capsys):
    tuned = tuner()
    fit(tuned, DataLoader(Endless(), 4), DataLoader(Endless(), 4), 2)
    assert tuned.inner_steps == 6
    with pytest.raises(UserError, match="DataLoader has no length; give the Tuner its warm_up in steps"):
        fit(tuner(), DataLoader(Endless(), 4), data(11, 1), 1, warm_up=1, progress=False)
    with pytest.raises(UserError, match="a DataLoader yields no batch"):
        fit(tuner(), DataLoader(data(3, 0), 4, drop_last=True), data(11, 1), 1, progress=False)


class Speaker(nn.Module):
    """A model as Hugging Face's: called with a dictionary's entries, it returns a dictionary with its own loss."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Dropout(0.3), nn.Linear(6, 3))

    def forward(self, inputs, labels=None):
        logits = self.body(inputs)
        return {"logits": logits} if labels is None else {"loss": F.cross_entropy(logits, labels), "logits": logits}


class Dictionaries(Dataset):
    def __init__(self, whole: TensorDataset, target: str = "labels") -> None:
        self.whole, self.target = whole, target

    def __len__(self) -> int:
        return len(self.whole)

    def __getitem__(self, index: int):
        x, t = self.whole[index]
        return {"inputs": x, self.target: t}


def test_dictionaries_are_the_input_and_their_labels_the_target():
    """With the model's own loss as with a loss of pairs on its body."""

    def go(dictionaries: bool) -> Schedule:
        torch.manual_seed(0)
        model = Speaker()
        hyper = Hyperparameters(dropout_rates(model))
        options: dict[str, Any] = {"T_train": 1, "seed": 0}
        train, valid = data(17, 0), data(11, 1)
        metrics = {"hit": lambda y, t: (y["logits"].argmax(1) == t).double().mean()}
        if dictionaries:
            tuned = Tuner(model, hyper, lambda y, t: y["loss"], **options)
            return fit(
                tuned, Dictionaries(train), Dictionaries(valid), 2, batch_size=5, metrics=metrics, progress=False
            )
        tuned = Tuner(model, hyper, lambda y, t: F.cross_entropy(y["logits"], t), **options)
        return fit(tuned, train, valid, 2, batch_size=5, metrics=metrics, progress=False)

    rows = [go(dictionaries).values["body.2"] for dictionaries in (True, False)]
    assert rows[0] == pytest.approx(rows[1], rel=1e-4)
    assert len(set(rows[0])) == 3


def test_a_dictionary_without_labels_is_its_own_target():
    model = Speaker()
    tuned = Tuner(
        model, Hyperparameters(dropout_rates(model)), lambda y, t: F.cross_entropy(y["logits"], t["class"]),
        predict=lambda x: model(x["inputs"]),
    )  # fmt: skip
    train, valid = (Dictionaries(data(n, n), "class") for n in (17, 11))
    fit(tuned, train, valid, 1, batch_size=5, progress=False)
    assert tuned.inner_steps == 4


def test_callbacks_see_each_step_and_each_row():
    first, steps, rows = tuner(), [], []
    fit(
        first, data(17, 0), data(11, 1), 2, batch_size=5, progress=False,
        on_step=lambda seen: steps.append((first.inner_steps, first.outer_steps, float(seen.loss))),
        on_epoch=rows.append,
    )  # fmt: skip
    assert [inner for inner, _, _ in steps] == list(range(1, 9))
    assert [outer for _, outer, _ in steps] == [2 * (k // 2) for k in range(1, 9)]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    weights = [5, 5, 5, 2]
    mean = sum(n * loss for n, (_, _, loss) in zip(weights, steps[:4], strict=True)) / 17
    assert rows[1]["train_loss"] == pytest.approx(mean)


def test_a_scheduler_steps_after_each_inner_step_and_goes_on_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr("deep.training.fit.Run", partial(Run, checkpoint_seconds=0.0))
    rates: list[float] = []

    def go(out: Path) -> Tuner:
        subject = tuner()
        w0 = subject.optimisers["w0"]
        halved, tenth = (
            LambdaLR(w0, lambda step: 0.9**step),
            LambdaLR(subject.optimisers["Theta"], lambda epoch: 0.1**epoch),
        )
        note = lambda seen: rates.append(w0.param_groups[0]["lr"])  # noqa: E731
        fit(
            subject, data(17, 0), data(11, 1), 2, batch_size=5, step_schedulers=[halved], schedulers=[tenth], out=out,
            on_step=note, progress=False,
        )  # fmt: skip
        return subject

    subject = go(tmp_path / "straight")
    assert rates == pytest.approx([0.05 * 0.9**k for k in range(1, 9)])
    assert subject.optimisers["Theta"].param_groups[0]["lr"] == pytest.approx(0.05 * 0.01)
    with killed_at(25, gradients, "evaluate"):
        go(tmp_path / "broken")
    go(tmp_path / "broken")
    assert history(tmp_path / "broken") == history(tmp_path / "straight")
    subject = tuner()
    with pytest.raises(UserError, match=r"ReduceLROnPlateau waits .* give it in schedulers, not in step_schedulers"):
        fit(
            subject,
            data(17, 0),
            data(11, 1),
            1,
            step_schedulers=[ReduceLROnPlateau(subject.optimisers["w0"])],
            progress=False,
        )


SGD = partial(torch.optim.SGD, lr=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 16.0}, "batch_size=16.0 is not a whole number of examples from 1"),
        ({"batch_size": None}, "batch_size=None is not a whole"),
        ({"batch_size": 0}, "batch_size=0 is not a whole"),
        ({"accumulate": 0}, "accumulate=0 is not a whole number of batches from 1"),
        ({"seed": 1.5}, "seed=1.5 is not a whole number"),
        ({"metrics": {"hit": lambda y, t: (y.argmax(1) == t).float()}}, "metric 'hit' returns a tensor of shape"),
        ({"out": ""}, "out='' is not a folder"),
        ({"out": __file__}, "is not a folder; name one"),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused_before_anything_is_trained(options, message):
    tuned = tuner()
    with pytest.raises(UserError, match=rf"^[^\n]*{message}[^\n]*$"):
        fit(tuned, data(17, 0), data(11, 1), **{"epochs": 1, "progress": False, **options})
    assert tuned.inner_steps == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"w0": SGD([torch.zeros(1)])}, r"w0=SGD\(\.\.\.\) is not a function that makes an optimizer"),
        ({"sigma": SGD([torch.zeros(1)])}, r"sigma=SGD\(\.\.\.\) is not a function"),
        ({"seed": 1.5}, "seed=1.5 is not a whole number"),
        (
            {"autocast": lambda: torch.autocast("cpu", torch.float16)},
            "float16, .* without a GradScaler.*choose torch.bfloat16",
        ),
        ({"hyper": lambda: Hyperparameters([Hyperparameter(3, start=0.5)])}, "name is 3; give a string"),  # type: ignore
    ],
)
def test_a_tuner_refuses_arguments_of_a_wrong_kind(options, message):
    model = Speaker()
    options = {name: option() if name == "hyper" else option for name, option in options.items()}
    with pytest.raises(UserError, match=rf"^[^\n]*{message}[^\n]*$"):
        Tuner(model, **{"hyper": Hyperparameters(dropout_rates(model)), "train_loss": F.cross_entropy, **options})
    Tuner(model, Hyperparameters(dropout_rates(model)), F.cross_entropy).detach()


def test_bfloat16_is_no_float16():
    model = nn.Sequential(nn.Linear(5, 6), nn.Dropout(0.3), nn.Linear(6, 3))
    autocast = lambda: torch.autocast("cpu", torch.bfloat16)  # noqa: E731
    tuned = Tuner(model, Hyperparameters(dropout_rates(model)), F.cross_entropy, autocast=autocast)
    schedule = fit(tuned, data(17, 0), data(11, 1), 1, progress=False)
    assert all(math.isfinite(value) for value in schedule.values["1"])


def test_without_standard_error_a_run_goes_on_without_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    tuned = tuner()
    fit(tuned, data(17, 0), data(11, 1), 1, batch_size=5)
    assert tuned.inner_steps == 4
