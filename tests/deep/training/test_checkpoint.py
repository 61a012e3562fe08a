"""A checkpoint is read whole or refused in one line; a failing disk leaves the earlier one."""

import os
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deep.hyper.generators import generators, set_generators
from deep.training import checkpoint
from deep.tuner.state import require_same_run
from reference.console.command import UserError

STATE = {"place": (1, 2, [0.5, 3.0]), "rows": [{"epoch": 0, "loss": float("inf")}], "weights": torch.arange(3000.0)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """A checkpoint's bytes."""
    folder = tmp_path_factory.mktemp("whole")
    checkpoint.save(folder, STATE)
    return (folder / checkpoint.FILE).read_bytes()


def refused(content: bytes) -> str:
    """What `load` says about a file with this content."""
    with TemporaryDirectory() as folder:
        (Path(folder) / checkpoint.FILE).write_bytes(content)
        with pytest.raises(UserError) as error:
            checkpoint.load(Path(folder))
        assert (Path(folder) / checkpoint.FILE).read_bytes() == content
    assert "\n" not in str(error.value)
    assert "delete it to start from the beginning" in str(error.value)
    return str(error.value)


def test_what_was_saved_is_loaded(tmp_path):
    assert checkpoint.load(tmp_path) is None
    checkpoint.save(tmp_path / "new" / "folder", STATE)
    state = checkpoint.load(tmp_path / "new" / "folder")
    assert state is not None
    assert torch.equal(state.pop("weights"), STATE["weights"])
    assert state == {name: value for name, value in STATE.items() if name != "weights"}
    assert os.listdir(tmp_path / "new" / "folder") == [checkpoint.FILE]


@given(part=st.floats(0, 1, exclude_max=True))
def test_cut_short_at_any_byte_it_is_refused(whole, part):
    assert "damaged or cut short" in refused(whole[: int(part * len(whole))])


def test_cut_short_by_its_last_bytes_it_is_refused(whole):
    for missing in range(1, 30):
        assert "damaged or cut short" in refused(whole[:-missing])


@given(content=st.binary(max_size=200))
def test_garbage_is_refused(content):
    refused(content)


def test_another_version_is_refused(tmp_path):
    for other in ({"version": checkpoint.VERSION + 1, **STATE}, STATE, [1, 2], torch.zeros(3)):
        torch.save(other, tmp_path / "other")
        assert "not a checkpoint of version" in refused((tmp_path / "other").read_bytes())


def test_one_that_would_run_code_is_refused_and_does_not(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"version": checkpoint.VERSION, "evil": Evil()}, tmp_path / "evil")
    refused((tmp_path / "evil").read_bytes())
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_leaves_the_earlier_one(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, {"place": 1})
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r", **kwargs: opened(Path("/dev/full"), mode, **kwargs))
    for state in ({"place": 2}, STATE):  # one fits in the buffer and fails when flushed, one does not
        with pytest.raises(UserError, match=r"cannot be written \([^\n]*\); free space"):
            checkpoint.save(tmp_path, state)
    monkeypatch.undo()
    assert checkpoint.load(tmp_path) == {"place": 1}
    assert os.listdir(tmp_path) == [checkpoint.FILE]


def test_a_disk_that_fails_in_fsync_leaves_the_earlier_one(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, {"place": 1})

    def fail(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match="Input/output error"):
        checkpoint.save(tmp_path, {"place": 2})
    assert checkpoint.load(tmp_path) == {"place": 1}
    assert os.listdir(tmp_path) == [checkpoint.FILE]


def test_a_folder_that_cannot_be_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="cannot be written"):
            checkpoint.save(folder, STATE)
        assert checkpoint.load(folder) is None


def test_discard_takes_what_a_killed_writer_left(tmp_path):
    checkpoint.save(tmp_path, STATE)
    (tmp_path / f"{checkpoint.FILE}.ab12.part").write_text("half")
    (tmp_path / "history.csv").write_text("")
    checkpoint.discard(tmp_path)
    assert os.listdir(tmp_path) == ["history.csv"]
    checkpoint.discard(tmp_path)


def test_generators_go_on(tmp_path):
    """PyTorch's, NumPy's and Python's, through a file."""

    def drawn() -> list[float]:
        return [float(torch.randn(())), np.random.standard_normal(), random.gauss()]  # noqa: NPY002

    drawn()  # now NumPy and Python hold a second normal number in store
    checkpoint.save(tmp_path, {"generators": generators()})
    first = [drawn() for _ in range(3)]
    state = checkpoint.load(tmp_path)
    assert state is not None
    set_generators(state["generators"])
    assert [drawn() for _ in range(3)] == first


def test_a_difference_is_named():
    require_same_run({"seed": 1, "older": 2}, {"seed": 1})
    for theirs in ({"seed": 2}, {}):
        with pytest.raises(UserError, match="its seed differ"):
            require_same_run(theirs, {"seed": 1})
