"""A schedule is read as it was saved, from records and from files that a person wrote, or refused."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import float64, tensor, zeros
from torch.optim import SGD

from deep.training.schedule import PerLoss, Schedule
from deep.tuner.gradients import Evaluation
from reference.console import records
from reference.console.command import UserError

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
columns = st.lists(
    names.filter(lambda name: name != "epoch" and name == " ".join(name.split())), min_size=1, max_size=4, unique=True
)


@given(columns=columns, epochs=st.integers(1, 6), data=st.data())
def test_what_is_saved_is_read(columns, epochs, data):
    values = arrays.arrays(float, epochs, elements=st.floats(allow_nan=False))
    schedule = Schedule(np.arange(float(epochs)), {name: data.draw(values) for name in columns})
    with TemporaryDirectory() as folder:
        schedule.save(Path(folder) / "schedule.csv")
        again = Schedule.read(f"{folder}/schedule.csv")
    np.testing.assert_array_equal(again.epochs, schedule.epochs)
    assert list(again.values) == columns
    for name in columns:
        np.testing.assert_array_equal(again.values[name], schedule.values[name])


@given(gaps=st.lists(st.integers(1, 4), min_size=1, max_size=6), epoch=st.integers(0, 40))
def test_at_is_the_last_value_reached(gaps, epoch):
    epochs = np.cumsum(gaps).astype(float)
    schedule = Schedule(epochs, {"rate": 10 * epochs})
    reached = [item for item in epochs if item <= epoch]
    assert schedule.values_at(epoch) == {"rate": 10 * (reached[-1] if reached else epochs[0])}


@given(columns=columns, epochs=st.integers(1, 6), data=st.data())
def test_a_digest_stays_with_the_content(columns, epochs, data):
    values = arrays.arrays(float, epochs, elements=st.floats(0, 1))
    schedule = Schedule(np.arange(float(epochs)), {name: data.draw(values) for name in columns})
    with TemporaryDirectory() as folder:
        schedule.save(Path(folder) / "schedule.csv")
        assert Schedule.read(f"{folder}/schedule.csv").digest == schedule.digest
    assert Schedule(schedule.epochs + 1, schedule.values).digest != schedule.digest
    for name, column in schedule.values.items():
        assert Schedule(schedule.epochs, {**schedule.values, name: column + 1}).digest != schedule.digest
    assert (
        Schedule(schedule.epochs, {f"{name} ": item for name, item in schedule.values.items()}).digest
        != schedule.digest
    )


def test_a_records_folder_is_read(tmp_path):
    with records.Writer(tmp_path, {}) as writer:
        writer.facts["hyperparameters"] = ["rate"]
        for epoch in range(3):
            writer.row({"epoch": epoch, "valid_loss": 1.0, "rate": 0.1 * epoch})
    schedule = Schedule.read(tmp_path)
    assert list(schedule.values) == ["rate"]
    np.testing.assert_array_equal(schedule.values["rate"], [0.1 * epoch for epoch in range(3)])


def test_a_searchs_record_is_no_schedule(tmp_path):
    with records.Writer(tmp_path, {}) as writer:
        writer.facts["hyperparameters"] = ["rate"]
        for trial, epoch in ((0, 0), (0, 1), (1, 0)):
            writer.row({"trial": trial, "epoch": epoch, "valid_loss": 1.0, "rate": 0.1})
    with pytest.raises(
        UserError, match=r"holds no schedule .*epochs that do not ascend, as those of a search's trials"
    ):
        Schedule.read(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "rate\n0.1\n", "epoch\n0\n", "epoch,rate\n", "epoch,rate\n0,fast\n", "epoch,rate\n0\n",
     "epoch,rate\n0,1,2\n", "epoch,rate\n1,0.1\n0,0.2\n", "epoch,rate\n0,0.1\n0,0.2\n", "\udcff\udcfe"],
)  # fmt: skip
def test_what_is_no_schedule_is_one_line(tmp_path, text):
    (tmp_path / "one.csv").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError, match=r"^[^\n]*holds no schedule[^\n]*; give a run's folder, or a CSV"):
        Schedule.read(tmp_path / "one.csv")


def test_a_byte_order_mark_and_blanks_are_skipped_and_a_column_twice_is_one_line(tmp_path):
    (tmp_path / "touched.csv").write_bytes("\ufeffepoch , rate\r\n0, 0.1\r\n".encode())
    assert Schedule.read(tmp_path / "touched.csv").values_at(0) == {"rate": 0.1}
    (tmp_path / "twice.csv").write_text("epoch,rate, rate\n0,0.1,0.2\n")
    with pytest.raises(UserError, match=r"holds no schedule .*more than one column is named rate"):
        Schedule.read(tmp_path / "twice.csv")


def test_a_path_without_one_is_one_line(tmp_path):
    with pytest.raises(UserError, match="holds no schedule"):
        Schedule.read(tmp_path / "missing.csv")
    with pytest.raises(UserError, match="cannot be read"):
        Schedule.read(tmp_path)
    with records.Writer(tmp_path, {}) as writer:
        writer.row({"update": 0})
    with pytest.raises(UserError, match="holds no schedule"):
        Schedule.read(tmp_path)


@given(losses=st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=300), most=st.floats(1, 100))
def test_a_rate_per_loss_is_divided_by_the_mean_of_past_losses_with_weights_that_fall_by_a_hundredth(losses, most):
    """The mean starts at 1; it is written out as a sum here. A saved state goes on."""
    scheduler = PerLoss(SGD([zeros(1)], lr=0.5), most)
    for loss in losses:
        seen = Evaluation(tensor(loss, dtype=float64), None, [])
        scheduler.observe(seen)
        again = PerLoss(SGD([zeros(1)], lr=0.5), most)
        again.load_state_dict(scheduler.state_dict())
        scheduler = again
    scheduler.optimizer._opt_called = True  # type: ignore[attr-defined]  (PyTorch warns of an optimizer without a step)
    scheduler.step()
    weights = 0.01 * 0.99 ** np.arange(len(losses))[::-1]
    mean = 0.99 ** len(losses) + weights @ losses
    np.testing.assert_allclose(scheduler.optimizer.param_groups[0]["lr"], 0.5 * min(most, 1 / mean), rtol=1e-9)
