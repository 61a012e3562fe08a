"""A run repeats, goes on after anything that stops it, counts as Algorithm 1 says, and ends whole or not at all."""

import math
import operator
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingLR,
    CyclicLR,
    LambdaLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from torch.utils.data import Subset, TensorDataset

from deep.hyper.declared import Hyperparameter
from deep.hyper.hyperparameters import Hyperparameters
from deep.training import checkpoint
from deep.training.batches import Batches
from deep.training.evaluation import scores
from deep.training.fit import fit, record
from deep.training.run import Scheduler
from deep.training.schedule import Schedule, SigmaDecay
from deep.tuner import gradients
from deep.tuner.tuner import Tuner
from reference.console import records
from reference.console.command import InputWarning, UserError
from reference.rule.updates import CENTERED_STN, DELTA_STN, METHODS
from tests.deep.small import OPTIMISERS, Killed, data, history, killed_at, run, schedulers, timeless, tuner

pytestmark = pytest.mark.usefixtures("no_types_checked")


@pytest.fixture(autouse=True, scope="module")
def _unsynced():
    """A kill, unlike a power cut, needs no fsync; a test that waits for the disk a thousand times takes minutes."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


EVERY = [*METHODS, None]
methods = pytest.mark.parametrize("method", EVERY, ids=lambda method: method.name if method else "plain")


def same(item: Any, other: Any) -> bool:
    """Whether two states hold the same bits."""
    if isinstance(item, torch.Tensor):
        return torch.equal(item, other)
    if isinstance(item, dict):
        return item.keys() == other.keys() and all(same(item[key], other[key]) for key in item)
    if isinstance(item, list | tuple):
        return len(item) == len(other) and all(map(same, item, other))
    return item == other


@methods
def test_a_seed_repeats_a_run_bit_for_bit_and_another_does_not(method):
    def go(seed: int, eps: int = 3):
        tuned = tuner(method, seed=eps)
        return timeless(run(tuned, seed=seed).run()), tuned.state_dict()

    assert same(go(0), go(0))
    assert go(0)[0] != go(5)[0]
    assert go(0)[0] != go(0, eps=4)[0]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The history of the same run with nothing in its way."""
    folder = tmp_path_factory.mktemp("straight")
    record(run(tuner(), folder), {})
    return history(folder)


class TestGoingOn:
    """The same call after a kill ends as if there had been none."""

    @settings(max_examples=8)
    @given(
        method=st.sampled_from(EVERY),
        weights=st.sampled_from(sorted(OPTIMISERS)),
        outer=st.sampled_from(sorted(OPTIMISERS)),
        scheduler=st.sampled_from(["none", "step", "plateau"]),
        calls=st.lists(st.integers(1, 60), min_size=1, max_size=3),
        often=st.sampled_from([0.0, math.inf]),
        noise=st.booleans(),
    )
    def test_after_errors_anywhere_in_a_pass(self, method, weights, outer, scheduler, calls, often, noise):
        def go(out: Path, init: int = 0):
            tuned = tuner(method, weights=weights, outer=outer, init=init, noise=noise)
            record(run(tuned, out, schedulers=schedulers(scheduler, tuned), checkpoint_seconds=often), {"seed": 0})
            return tuned.state_dict()

        with TemporaryDirectory() as folder:
            straight, broken = Path(folder) / "straight", Path(folder) / "broken"
            wanted = go(straight)
            start, stopped = 0, False
            for call in calls:
                with killed_at(call, gradients, "evaluate"):
                    go(broken, start)
                    stopped = True
                if stopped:
                    break
                # Nothing that is not in the checkpoint survives: what torch draws next time is something else.
                start = 100 + call if (broken / checkpoint.FILE).exists() else 0
            if not stopped:
                assert same(go(broken, start), wanted)
            assert history(broken) == history(straight)
            assert sorted(os.listdir(broken)) == ["history.csv", "settings.json"]

    @pytest.mark.parametrize("kind", ["step", "plateau"])
    def test_with_what_a_scheduler_has_counted(self, tmp_path, kind):
        def go(out: Path) -> float:
            tuned = tuner()
            record(run(tuned, out, epochs=5, schedulers=schedulers(kind, tuned)), {})
            return tuned.optimisers["w0"].param_groups[0]["lr"]

        with killed_at(25, gradients, "evaluate"):  # in the second epoch
            go(tmp_path)
        assert go(tmp_path) == go(tmp_path / "straight") < 0.05
        assert history(tmp_path) == history(tmp_path / "straight")

    @settings(max_examples=8)
    @given(call=st.integers(1, 14), cut=st.floats(0, 1))
    def test_after_a_kill_in_the_middle_of_writing_a_checkpoint(self, straight, call, cut):
        save, calls = torch.save, iter(range(1, 99))

        def half(state: Any, file: Any) -> None:
            save(state, file)
            if next(calls) == call:
                file.truncate(int(cut * file.tell()))
                raise Killed

        with TemporaryDirectory() as folder:
            broken = Path(folder) / "broken"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(torch, "save", half)
                patch.setattr(Path, "unlink", lambda *args, **kwargs: None)  # a kill cleans nothing up
                with pytest.raises(Killed):
                    record(run(tuner(), broken), {})
            assert list(broken.glob("*.part"))
            record(run(tuner(), broken), {})
            assert history(broken) == straight
            assert sorted(os.listdir(broken)) == ["history.csv", "settings.json"]

    def test_after_sigkill(self, tmp_path):
        script = Path(__file__).parents[1] / "killed.py"
        done = subprocess.run([sys.executable, script, tmp_path], check=True, capture_output=True, text=True)
        assert int(done.stdout) >= 3  # kills, most of the later ones in a write
        for broken in ("quick", "slow"):
            assert history(tmp_path / broken) == history(tmp_path / "straight")

    def test_when_only_the_record_was_left_to_write(self, straight, tmp_path):
        with killed_at(1, records.Writer, "_finish"):
            record(run(tuner(), tmp_path), {})
        assert not (tmp_path / "history.csv").exists()
        tuned = tuner()
        with killed_at(1, type(tuned), "inner_step_over"):  # nothing is trained again
            record(run(tuned, tmp_path), {})
        assert history(tmp_path) == straight

    def test_with_the_time_before_it(self, tmp_path, monkeypatch):
        with killed_at(9, gradients, "evaluate"):
            record(run(tuner(), tmp_path), {})
        state = checkpoint.load(tmp_path)
        assert state is not None
        checkpoint.save(tmp_path, state | {"seconds": 1000.0})
        rows = run(tuner(), tmp_path).run()
        assert rows[0]["seconds"] < 100 < 1000 < rows[-1]["seconds"] < 1100

    @pytest.mark.parametrize("where", [(gradients, "evaluate"), (torch, "save"), (os, "replace")])
    def test_after_ctrl_c(self, straight, tmp_path, where):
        with killed_at(9, *where, error=KeyboardInterrupt):
            record(run(tuner(), tmp_path), {})
        assert os.listdir(tmp_path) == [checkpoint.FILE]
        record(run(tuner(), tmp_path), {})
        assert history(tmp_path) == straight

    def test_after_ctrl_c_in_the_last_evaluation(self, straight, tmp_path):
        last = run(tuner()).epochs

        def press(row: dict[str, Any]) -> None:
            if row["epoch"] == last:
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            run(tuner(), tmp_path).run(on_row=press)
        record(run(tuner(), tmp_path), {})
        assert history(tmp_path) == straight

    def test_while_another_process_does_the_same_in_the_same_folder(self, straight, tmp_path):
        def other(row: dict[str, Any]) -> None:
            if row["epoch"] == 2:
                record(run(tuner(), tmp_path), {})

        with pytest.raises(UserError, match="another command writes this record too"):
            record(run(tuner(), tmp_path), {}, on_row=other)
        assert history(tmp_path) == straight
        assert not list(tmp_path.glob("*.part"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a run that was stopped on its way."""
    out = tmp_path_factory.mktemp("stopped")
    with killed_at(12, gradients, "evaluate"):
        run(tuner(), out).run()
    return out


CHANGED: dict[str, Any] = {
    "method": lambda out: run(tuner(CENTERED_STN), out),
    "no method": lambda out: run(tuner(None), out),
    "parameters": lambda out: run(tuner(norm=False), out),
    "responses": lambda out: run(tuner(without_response=["last"]), out),
    "optimisers": lambda out: run(tuner(weights="adam"), out),
    "steps": lambda out: run(tuner(tau=0.5), out),
    "seed": lambda out: run(tuner(seed=4), out),
    "seeds": lambda out: run(tuner(), out, seed=9),
    "batch sizes": lambda out: run(tuner(), out, size=6),
    "number of epochs": lambda out: run(tuner(), out, epochs=4),
    "schedulers": lambda out: run(tuned := tuner(), out, schedulers=schedulers("step", tuned)),
    "metrics": lambda out: run(tuner(), out, metrics={"accuracy": F.cross_entropy}),
    "data": lambda out: replace(run(tuner(), out), train=Batches(data(17, 5), 5, 0)),
    "schedule": lambda out: run(
        tuner(None), out, replay=Schedule(np.zeros(1), dict.fromkeys(("mask", "decay"), np.ones(1)))
    ),
    "datasets' sizes": lambda out: replace(run(tuner(), out), test=Batches(data(3, 2), 5, 0)),
}


class TestCheckpointOfAnotherRun:
    """One line, and nothing has moved."""

    @pytest.mark.parametrize("part", CHANGED)
    def test_is_refused(self, stopped, part):
        other = CHANGED[part](stopped)
        before, torch_before = other.tuner.state_dict(), torch.get_rng_state()
        before = {**before, "model": {name: value.clone() for name, value in before["model"].items()}}
        saved = (stopped / checkpoint.FILE).read_bytes()
        with pytest.raises(UserError, match=rf"another run: its {part.removeprefix('no ')} differ; [^\n]*$"):
            other.run()
        assert same(other.tuner.state_dict(), before)
        assert torch.equal(torch.get_rng_state(), torch_before)
        assert (stopped / checkpoint.FILE).read_bytes() == saved

    def test_is_refused_if_cut_short(self, stopped, tmp_path):
        whole = (stopped / checkpoint.FILE).read_bytes()
        (tmp_path / checkpoint.FILE).write_bytes(whole[: len(whole) // 2])
        other = run(tuner(), tmp_path)
        torch_before = torch.get_rng_state()
        with pytest.raises(UserError, match="damaged or cut short"):
            other.run()
        assert torch.equal(torch.get_rng_state(), torch_before)
        assert other.rows == []


def of_w0(kind: Any, *args: Any, **kwargs: Any) -> Callable[[Tuner], Scheduler]:
    return lambda item: kind(item.optimisers["w0"], *args, **kwargs)


def powers(ratio: float) -> Callable[[int], float]:
    return lambda epoch: ratio**epoch


def inverse_powers(ratio: float) -> Callable[[int], float]:
    return lambda epoch: ratio**-epoch


def in_turn(gamma: float, milestone: int) -> Callable[[Tuner], Scheduler]:
    def made(item: Tuner) -> Scheduler:
        w0 = item.optimisers["w0"]
        return SequentialLR(w0, [StepLR(w0, 1, 0.9), StepLR(w0, 1, gamma)], [milestone])

    return made


def chained(gamma: float) -> Callable[[Tuner], Scheduler]:
    return lambda item: ChainedScheduler([StepLR(item.optimisers["w0"], 1, factor) for factor in (0.9, gamma)])


SCHEDULERS: dict[str, list[Callable[[Tuner], Scheduler]]] = {
    "MultiStepLR": [of_w0(MultiStepLR, [1, 2]), of_w0(MultiStepLR, [1]), of_w0(MultiStepLR, [1, 2], 0.5)],
    "ReduceLROnPlateau": [of_w0(ReduceLROnPlateau, patience=0, threshold=0.9), of_w0(ReduceLROnPlateau, patience=0)],
    "CosineAnnealingLR": [of_w0(CosineAnnealingLR, 3), of_w0(CosineAnnealingLR, 4)],
    "SigmaDecay": [lambda tuned: SigmaDecay(tuned.hyper, 0.1, 3), lambda tuned: SigmaDecay(tuned.hyper, 0.2, 3)],
    "LambdaLR": [of_w0(LambdaLR, lambda epoch: 0.5**epoch), of_w0(LambdaLR, lambda epoch: 0.6**epoch)],
    "LambdaLR's code": [of_w0(LambdaLR, powers(0.5)), of_w0(LambdaLR, inverse_powers(0.5))],
    "LambdaLR's names": [
        of_w0(LambdaLR, lambda epoch: math.cos(epoch)),
        of_w0(LambdaLR, lambda epoch: math.exp(epoch)),
    ],
    "LambdaLR's closure": [of_w0(LambdaLR, powers(ratio)) for ratio in (0.5, 0.6)],
    "LambdaLR's default": [of_w0(LambdaLR, lambda epoch, ratio=ratio: ratio**epoch) for ratio in (0.5, 0.6)],
    "LambdaLR's partial": [of_w0(LambdaLR, partial(operator.pow, ratio)) for ratio in (0.5, 0.6)],
    "OneCycleLR": [
        of_w0(OneCycleLR, 0.1, 9),
        of_w0(OneCycleLR, 0.2, 9, div_factor=50.0),
        of_w0(OneCycleLR, 0.1, 9, pct_start=0.5),
        of_w0(OneCycleLR, 0.1, 9, div_factor=50.0),
        of_w0(OneCycleLR, 0.1, 9, final_div_factor=10.0),
        of_w0(OneCycleLR, 0.1, 9, three_phase=True),
        of_w0(OneCycleLR, 0.1, 9, anneal_strategy="linear"),
    ],
    "CyclicLR": [
        of_w0(CyclicLR, 0.01, 0.1, 3, cycle_momentum=False),
        of_w0(CyclicLR, 0.01, 0.1, 4, cycle_momentum=False),
        of_w0(CyclicLR, 0.01, 0.1, 2, 4, cycle_momentum=False),
        of_w0(CyclicLR, 0.01, 0.1, 3, mode="triangular2", cycle_momentum=False),
        of_w0(CyclicLR, 0.01, 0.1, 3, scale_fn=powers(0.5), cycle_momentum=False),
    ],
    "SequentialLR": [in_turn(0.5, 1), in_turn(0.6, 1), in_turn(0.5, 2)],
    "ChainedScheduler": [chained(0.5), chained(0.6)],
}


@cache
def with_scheduler(name: str) -> list[list[str]]:
    """The history of a run with it and with nothing in its way."""
    tuned = tuner()
    with TemporaryDirectory() as folder:
        record(run(tuned, Path(folder), schedulers=[SCHEDULERS[name][0](tuned)]), {})
        return history(Path(folder))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_checkpoint_goes_on_with_the_schedulers_it_has_and_not_with_other_settings_of_them(tmp_path, name):
    same, *others = SCHEDULERS[name]

    def go(out: Path, scheduler: Callable[[Tuner], Scheduler]) -> None:
        tuned = tuner()
        record(run(tuned, out, schedulers=[scheduler(tuned)]), {})

    with killed_at(25, gradients, "evaluate"):  # in the second epoch
        go(tmp_path, same)
    for other in others:
        with pytest.raises(UserError, match="another run: its schedulers differ"):
            go(tmp_path, other)
    go(tmp_path, same)
    assert history(tmp_path) == with_scheduler(name)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_checkpoint_goes_on_with_schedulers_made_anew_on_optimizers_that_have_moved(tmp_path, name):
    """As when a notebook's cell that was interrupted is run once more."""
    scheduler, first = SCHEDULERS[name][0], tuner()
    with killed_at(25, gradients, "evaluate"):
        record(run(first, tmp_path, schedulers=[scheduler(first)]), {})
    record(run(first, tmp_path, schedulers=[scheduler(first)]), {})
    assert history(tmp_path) == with_scheduler(name)


class TestALossThatIsNotFinite:
    @methods
    def test_stops_the_run_and_keeps_the_last_good_checkpoint(self, method, tmp_path):
        tuned = tuner(method)
        good = tuned.training.loss

        def bad(y, t):
            return good(y, t) * (math.nan if tuned.inner_steps == 6 else 1)

        tuned.training = replace(tuned.training, loss=bad)
        with pytest.raises(UserError, match="not finite after 6 inner steps"):
            record(run(tuned, tmp_path), {})
        assert os.listdir(tmp_path) == [checkpoint.FILE]
        record(run(tuner(method), tmp_path), {})  # as the loss is good this time
        record(run(tuner(method), tmp_path / "straight"), {})
        assert history(tmp_path) == history(tmp_path / "straight")

    def test_in_validation_stops_it_too_at_the_last_epoch(self, tmp_path):
        tuned = tuner(None)
        tuned.validation = replace(
            tuned.validation, loss=lambda y, t: F.cross_entropy(y, t) * (math.inf if tuned.inner_steps == 12 else 1)
        )
        with pytest.raises(UserError, match="not finite after 12 inner steps"):
            record(run(tuned, tmp_path), {})
        state = checkpoint.load(tmp_path)
        assert state is not None
        assert len(state["rows"]) == 3

    def test_leaves_no_checkpoint_of_weights_that_are_not_finite(self, tmp_path):
        """They are bad one step before the loss shows it."""
        tuned = tuner(None)

        def spoil(row):
            tuned.optimisers["w0"].param_groups[0]["lr"] = math.inf

        with pytest.raises(UserError, match=r"parameter 'first.weight' is not finite after 1 inner steps; lower"):
            run(tuned, tmp_path).run(on_row=spoil)
        state = checkpoint.load(tmp_path)
        assert state is not None
        assert all(torch.isfinite(value).all() for value in state["tuner"]["model"].values())


class TestCounts:
    @settings(max_examples=12)
    @given(
        warm_up=st.integers(0, 3), T_train=st.integers(1, 5), T_valid=st.integers(1, 3), epochs=st.integers(0, 3),
    )  # fmt: skip
    def test_of_inner_and_outer_steps(self, warm_up, T_train, T_valid, epochs):
        tuned = tuner(T_train=T_train, T_valid=T_valid)
        shown = []
        outer_step = tuned.outer_step_over

        def watched(batches):
            shown.append(batches[0][0])
            return outer_step(batches)

        tuned.outer_step_over = watched  # type: ignore[method-assign]
        train, valid = data(17, 0), data(11, 1)
        fit(tuned, train, valid, epochs, batch_size=5, warm_up=warm_up, progress=False, seed=7)
        assert tuned.inner_steps == 4 * epochs
        assert tuned.outer_steps == max(0, epochs - warm_up) * 4 // T_train * T_valid
        batches, cycle = Batches(valid, 5, 8), range(len(shown) // 3 + 1)
        for x, (wanted, _) in zip(shown, (batch for k in cycle for batch in batches.epoch(k)), strict=False):
            assert torch.equal(x, wanted)

    @pytest.mark.parametrize(("epochs", "outer"), [(None, 8 - 5), (0, 8), (1, 8 - 4)])
    def test_of_outer_steps_after_the_tuners_own_warm_up_in_steps_or_fits_in_epochs(self, epochs, outer):
        tuned = tuner(T_train=1, T_valid=1, warm_up=5)
        fit(tuned, data(17, 0), data(11, 1), 2, batch_size=5, warm_up=epochs, progress=False)
        assert tuned.outer_steps == outer

    def test_each_epoch_shows_every_example_once(self):
        tuned = tuner(None)
        train, shown = data(17, 0), []
        inner_step = tuned.inner_step_over
        tuned.inner_step_over = lambda group: shown.append(group[0][0]) or inner_step(group)  # type: ignore[method-assign]
        fit(tuned, train, data(11, 1), 2, batch_size=5, progress=False)
        for epoch in (shown[:4], shown[4:]):
            rows = sorted(torch.cat(epoch).tolist())
            assert rows == sorted(train.tensors[0].tolist())
        assert not torch.equal(shown[0], shown[4])


@methods
def test_scores_are_the_mean_of_single_examples(method):
    tuned = tuner(method)
    run(tuned, epochs=1).run()
    valid = data(11, 1)

    def right(y, t):
        return (y.argmax(1) == t).double().mean()

    singly = [tuned.evaluate(x[None], t[None]) for x, t in zip(*valid.tensors, strict=True)]
    actual = scores("valid", tuned, Batches(valid, 4, 0), {"accuracy": right})
    assert actual["valid_loss"] == pytest.approx(sum(float(loss) for loss, _ in singly) / 11, rel=1e-5)
    hits = [float(right(y, t[None])) for (_, y), t in zip(singly, valid.tensors[1], strict=True)]
    assert actual["valid_accuracy"] == pytest.approx(sum(hits) / 11)


def test_scores_put_a_state_back_and_leave_a_cache_that_has_grown():
    class Moving(nn.Linear):
        def __init__(self):
            super().__init__(5, 3)
            self.register_buffer("state", torch.zeros(()), persistent=False)
            self.register_buffer("cache", torch.zeros(2), persistent=False)

        def forward(self, input):
            self.state, self.cache = self.state + 1, torch.zeros(len(input))
            return super().forward(input)

    model = Moving()
    tuned = Tuner(model, Hyperparameters([Hyperparameter("decay", start=0.1)]), F.cross_entropy, method=None)
    scores("valid", tuned, Batches(data(8, 1), 4, 0), {})
    assert model.state == 0
    assert len(model.cache) == 4


def test_the_training_loss_is_the_mean_over_examples():
    """At a learning rate of 0 every batch sees the same weights; without draws, what one large batch sees."""
    tuned = tuner(None, own=0.0, norm=False)
    tuned.hyper.set({"mask": 0.0, "decay": 0.0})
    tuned.optimisers["w0"].param_groups[0]["lr"] = 0.0
    rows = run(tuned, epochs=1).run()
    x, t = data(17, 0).tensors
    assert rows[1]["train_loss"] == pytest.approx(float(F.cross_entropy(tuned.evaluate(x, t)[1], t)), rel=1e-4)


class TestReplay:
    def test_sets_exactly_the_values_of_a_schedule(self, tmp_path):
        train, valid = data(17, 0), data(11, 1)
        schedule = fit(tuner(), train, valid, 3, batch_size=5, out=tmp_path / "tuned", progress=False)
        assert len(set(schedule.values["mask"])) == 4
        plain, seen = tuner(None), []
        inner_step = plain.inner_step_over
        plain.inner_step_over = lambda group: seen.append(plain.hyper.values()) or inner_step(group)  # type: ignore
        again = fit(plain, train, valid, 3, batch_size=5, replay=Schedule.read(tmp_path / "tuned"), progress=False)
        for name, wanted in schedule.values.items():
            used = [item[name] for item in seen]
            assert used == pytest.approx([wanted[k // 4] for k in range(12)], rel=1e-5)
            assert again.values[name] == pytest.approx(wanted, rel=1e-5)

    def test_goes_on_after_a_kill(self, tmp_path):
        schedule = Schedule(np.arange(4.0), {"mask": np.array([0.1, 0.3, 0.5, 0.7]), "decay": np.full(4, 1e-3)})
        with killed_at(11, gradients, "evaluate"):
            record(run(tuner(None), tmp_path, replay=schedule), {})
        record(run(tuner(None), tmp_path, replay=schedule), {})
        record(run(tuner(None), tmp_path / "straight", replay=schedule), {})
        assert history(tmp_path) == history(tmp_path / "straight")

    def test_is_for_plain_runs_and_known_names(self):
        every = {name: np.array([0.1, 0.3]) for name in ("mask", "decay", "rate")}
        schedule = Schedule(np.arange(2.0), every)
        with pytest.raises(UserError, match="plain run; give method=None"):
            run(tuner(DELTA_STN), replay=schedule)
        with pytest.raises(UserError, match="no hyperparameter is named 'rate'"):
            run(tuner(None), replay=schedule).run()

    @pytest.mark.parametrize("name", ["mask", "decay"])
    def test_has_a_column_for_everything_the_run_reads(self, name):
        schedule = Schedule(np.arange(2.0), {name: np.array([0.1, 0.3])})
        (lacking,) = {"mask", "decay"} - {name}
        with pytest.raises(UserError, match=f"^the schedule has no column '{lacking}'.*it has {name}"):
            run(tuner(None), replay=schedule)


class TestRefusals:
    def test_of_datasets(self):
        whole = data(17, 0)
        cases = [
            (Subset(whole, range(10)), Subset(whole, range(8, 17)), "share 2 examples"),
            (whole, whole, "share 17 examples"),
            (whole, TensorDataset(*whole.tensors), "share 17 examples"),
            (TensorDataset(torch.zeros(0, 5), torch.zeros(0)), whole, "dataset is empty"),
            (whole, Subset(whole, []), "dataset is empty"),
        ]
        for train, valid, wanted in cases:
            with pytest.raises(UserError, match=wanted):
                fit(tuner(), train, valid, 1, progress=False)

    @methods
    def test_of_a_last_batch_of_one_example_through_a_batch_norm_before_the_first_step(self, method):
        tuned = tuner(method)
        with pytest.raises(
            UserError, match=r"^a BatchNorm in training [^\n]* choose a batch size that leaves no batch"
        ):
            fit(tuned, data(17, 0), data(11, 1), 1, batch_size=4, progress=False)
        assert tuned.inner_steps == 0
        fit(tuner(method, norm=False), data(17, 0), data(11, 1), 1, batch_size=4, progress=False)

    def test_but_not_where_one_example_has_several_values_of_each_channel(self):
        model = nn.Sequential(
            nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.Flatten(), nn.Linear(6, 3)
        )
        tuned = Tuner(model, Hyperparameters([Hyperparameter("decay", start=0.1)]), F.cross_entropy, method=None)
        with pytest.warns(InputWarning, match="nothing has read 'decay'"):
            fit(tuned, data(17, 0), data(11, 1), 1, batch_size=4, progress=False)
        assert tuned.inner_steps == 5

    def test_of_a_finished_record(self, tmp_path):
        def go():
            return fit(tuner(), data(17, 0), data(11, 1), 1, out=tmp_path, progress=False)

        go()
        with pytest.raises(UserError, match="holds this run's finished record"):
            go()
        assert records.read(tmp_path).facts["hyperparameters"] == ["mask", "decay"]

    def test_of_a_finished_record_of_other_settings_which_stays_as_it_is(self, tmp_path):
        def go(epochs: int):
            return fit(tuner(), data(17, 0), data(11, 1), epochs, out=tmp_path, progress=False)

        go(1)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(UserError, match="finished record of a run with other settings; choose another folder"):
            go(2)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    @pytest.mark.parametrize("counts", [{"epochs": -1}, {"epochs": 1, "warm_up": -1}])
    def test_of_counts_that_are_no_counts(self, counts):
        with pytest.raises(UserError, match=r"^(epochs|warm_up)=-1 is not a whole number of epochs from 0$"):
            fit(tuner(), data(17, 0), data(11, 1), progress=False, **counts)

    def test_of_a_folder_that_is_a_file(self, tmp_path):
        (tmp_path / "out").write_text("")
        with pytest.raises(UserError, match="cannot be written"):
            run(tuner(), tmp_path / "out").run()


def test_stop_is_asked_at_the_end_of_each_epoch(tmp_path):
    asked = []
    tuned = tuner()

    def stop():
        asked.append(tuned.inner_steps)
        return tuned.inner_steps >= 8

    rows = run(tuned, stop=stop, epochs=5).run()
    assert asked == [4, 8]
    assert [row["epoch"] for row in rows] == [0, 1, 2]


def test_checkpoints_are_written_at_the_start_at_the_end_and_when_time_is_up(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(checkpoint, "save", lambda folder, state: saved.append(state["place"][:2]))
    run(tuner(), tmp_path, checkpoint_seconds=math.inf).run()
    assert saved == [(1, 0), (4, 0)]
    saved.clear()
    run(tuner(), tmp_path).run()
    assert saved == [(1, 0), *((e, b) for e in (1, 2, 3) for b in (1, 2, 3, 4)), (4, 0)]


def test_a_gradient_whose_square_overflows_is_warned_of_as_lam_stands_still_from_there_on():
    tuned = tuner()
    tuned.validation = replace(tuned.validation, loss=lambda y, t: F.cross_entropy(y, t) * 1e25)
    with pytest.warns(InputWarning, match="hyperparameters move no more"):
        rows = run(tuned).run()
    assert len({row["mask"] for row in rows}) == 1
    assert rows[-1]["outer_steps"] > 0


@pytest.mark.parametrize("name", ["epoch", "seconds", "train_loss", "sigma mask"])
def test_a_hyperparameter_called_as_a_column_of_the_record_is_refused(name):
    hyper = Hyperparameters([Hyperparameter("mask", start=0.1), Hyperparameter(name, start=0.1)])
    tuned = Tuner(nn.Linear(5, 3), hyper, F.cross_entropy)
    with pytest.raises(UserError, match=f"two columns of the record would be '{name}'; rename the hyperparameter"):
        fit(tuned, data(17, 0), data(11, 1), 1, progress=False)


def test_a_metric_called_as_a_column_of_the_record_is_refused():
    with pytest.raises(UserError, match="two columns of the record would be 'valid_loss'; rename"):
        fit(tuner(), data(17, 0), data(11, 1), 1, metrics={"loss": lambda y, t: torch.ones(())}, progress=False)


@pytest.mark.parametrize("training", [True, False])
def test_parts_in_evaluation_mode_stay_so_unless_the_whole_model_is(training):
    tuned = tuner()
    norm = tuned.model.train(training).get_submodule("norm").eval()
    before = norm.get_buffer("running_mean").clone()
    fit(tuned, data(17, 0), data(11, 1), 1, batch_size=5, progress=False)
    assert tuned.model.training
    assert norm.training is not training
    assert torch.equal(norm.get_buffer("running_mean"), before) is training
