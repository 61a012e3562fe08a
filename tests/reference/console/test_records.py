"""A record is either complete or none: kills, full disks and damage at every step of writing one."""

import errno
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from reference.console import records
from reference.console.command import UserError
from reference.console.records import HISTORY, SETTINGS, Writer, discard_parts, find, is_finished, read

ROOT = Path(__file__).parents[3]
OLD, NEW = {"seed": 0, "alpha": 0.1}, {"seed": 0, "alpha": 0.2}
STEPS = 400
"""Rows enough that history.csv is written to the disk in several pieces."""


def write(folder, settings, steps=STEPS):
    """A record whose every row says which settings it belongs to."""
    with Writer(folder, settings) as writer:
        writer.facts["note"] = "Δ"
        for step in range(steps):
            writer.row({"update": step, "lam": settings["alpha"] + step / 3, "padding": "x" * 40})


def check(folder, settings, steps=STEPS):
    """The folder holds the record that `write` makes, to the last bit, and no half-written file."""
    assert is_finished(folder, settings)
    record = read(folder)
    assert record.settings == settings
    assert record.facts == {"note": "Δ"}
    assert_array_equal(record.history["update"], np.arange(steps))
    assert_array_equal(record.history["lam"], settings["alpha"] + np.arange(steps) / 3)
    assert sorted(path.name for path in folder.iterdir()) == [HISTORY, SETTINGS]


def survives_or_is_none(folder, old, new):
    """After a writer that did not end: the new record, or the older one, or none; and it can be written again."""
    assert not (is_finished(folder, old) and is_finished(folder, new))
    for settings in (old, new):
        if is_finished(folder, settings):
            check_rows(folder, settings)
    write(folder, new)
    check(folder, new)


def check_rows(folder, settings):
    """A finished record's rows are all there and belong to its settings, whatever else lies in the folder."""
    assert_array_equal(read(folder).history["lam"], settings["alpha"] + np.arange(STEPS) / 3)


def break_off(folder, settings, error, meanwhile=lambda: None):
    """Begin a record, and raise an error before it ends."""
    with Writer(folder, settings) as writer:
        writer.row({"lam": 1.0})
        meanwhile()
        raise error


# What is written is what is read.

numbers = st.floats() | st.integers(-(2**53), 2**53)
words = st.text(st.characters(exclude_categories=["C"]), max_size=8).map(lambda text: f"'{text}'")


@given(
    st.dictionaries(
        words,
        st.lists(numbers, min_size=4, max_size=4) | st.lists(words, min_size=4, max_size=4),
        min_size=1,
        max_size=4,
    )
)
def test_numbers_are_read_to_the_last_bit_and_text_as_it_was(tmp_path_factory, history):
    folder = tmp_path_factory.mktemp("record")
    with Writer(folder, {}) as writer:
        for row in zip(*history.values(), strict=True):
            writer.row(dict(zip(history, row, strict=True)))
    actual = read(folder).history
    assert list(actual) == list(history)
    for name, values in history.items():
        assert_array_equal(actual[name], np.array(values), strict=False)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_settings_of_any_kind_are_the_same_run_when_asked_again(tmp_path_factory, value):
    folder = tmp_path_factory.mktemp("record")
    write(folder, {"alpha": 0.0, "value": value}, steps=1)
    assert is_finished(folder, {"alpha": 0.0, "value": value})
    assert not is_finished(folder, {"alpha": 0.0, "value": [value]})
    assert not is_finished(folder, {"alpha": 0.0, "value": value, "more": None})
    assert read(folder).settings == {"alpha": 0.0, "value": value}


def test_tuples_are_the_same_settings_as_the_lists_that_json_makes_of_them(tmp_path):
    write(tmp_path, {"alpha": 0.0, "shape": (1, 2)}, steps=1)
    assert is_finished(tmp_path, {"alpha": 0.0, "shape": (1, 2)})


def test_a_name_of_a_file_that_is_not_text_is_kept(tmp_path):
    write(tmp_path, {"alpha": 0.0, "file": "a\udcff"}, steps=1)
    assert is_finished(tmp_path, {"alpha": 0.0, "file": "a\udcff"})


def test_a_person_can_read_the_settings(tmp_path):
    write(tmp_path, {"alpha": 0.5, "method": "Δ-STN"}, steps=1)
    text = (tmp_path / SETTINGS).read_text(encoding="utf-8")
    assert '"method": "Δ-STN"' in text
    assert json.loads(text) == {"settings": {"alpha": 0.5, "method": "Δ-STN"}, "note": "Δ"}


def test_a_record_of_no_rows_has_columns_all_the_same(tmp_path):
    with Writer(tmp_path, {}) as writer:
        writer.header(["update", "lam"])
    assert {name: values.shape for name, values in read(tmp_path).history.items()} == {"update": (0,), "lam": (0,)}


def test_find_gives_finished_records_in_the_order_of_their_folders(tmp_path):
    for name in ("b", "a/2", "a/1"):
        write(tmp_path / name, {"alpha": 0.0, "name": name}, steps=1)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / f"{HISTORY}.0.part").write_text("update\n")
    assert [record.settings["name"] for record in find(tmp_path)] == ["a/1", "a/2", "b"]


# Not finished.


def test_a_folder_that_is_not_there_is_not_finished(tmp_path):
    assert not is_finished(tmp_path / "none", OLD)
    (tmp_path / "file").touch()
    assert not is_finished(tmp_path / "file" / "below", OLD)


def test_nothing_is_finished_before_the_block_ends(tmp_path):
    with Writer(tmp_path, OLD) as writer:
        writer.row({"lam": 1.0})
        assert not is_finished(tmp_path, OLD)
        assert list(find(tmp_path)) == []
    assert is_finished(tmp_path, OLD)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, OSError])
def test_an_error_in_the_block_leaves_nothing(tmp_path, error):
    with pytest.raises(error):
        break_off(tmp_path, OLD, error)
    assert list(tmp_path.iterdir()) == []


def test_an_older_record_stays_until_the_new_one_is_complete(tmp_path):
    write(tmp_path, OLD)
    with pytest.raises(ZeroDivisionError):
        break_off(tmp_path, NEW, ZeroDivisionError, meanwhile=lambda: check_rows(tmp_path, OLD))
    check(tmp_path, OLD)
    write(tmp_path, NEW)
    assert not is_finished(tmp_path, OLD)
    check(tmp_path, NEW)


def test_settings_that_json_cannot_hold_leave_the_older_record(tmp_path):
    write(tmp_path, OLD)
    with pytest.raises(ValueError, match="JSON"), Writer(tmp_path, {"alpha": math.nan}) as writer:
        writer.row({"lam": 1.0})
    check(tmp_path, OLD)


# Killed.


def folders(root, older, count=30):
    """Some folders, each with an older record if asked for."""
    for name in range(count):
        folder = root / str(name)
        if older:
            write(folder, OLD)
        yield folder


def steps_of_writing(monkeypatch_setattr, stop):
    """Call `stop` before every step of writing that can be seen from outside; returns the count of them."""
    count = [0]

    def watched(function):
        def call(*arguments, **options):
            stop(count[0])
            count[0] += 1
            return function(*arguments, **options)

        return call

    for name in ("fsync", "replace"):
        monkeypatch_setattr(records.os, name, watched(getattr(os, name)))
    for name in ("open", "unlink"):
        monkeypatch_setattr(Path, name, watched(getattr(Path, name)))
    return count


def killed(folder, settings, step):
    """Write in a process that ends, as if killed, before that step; whether it did (or had no such step)."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9
    try:  # in the child, which must not come back into pytest
        steps_of_writing(setattr, lambda count: os._exit(9) if count == step else None)
        write(folder, settings)
    finally:
        os._exit(0)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("older", [False, True])
def test_a_writer_killed_before_any_of_its_steps_is_never_taken_for_finished(tmp_path, older):
    for step, folder in enumerate(folders(tmp_path, older)):
        if not killed(folder, NEW, step):
            assert step > 6
            check(folder, NEW)
            return
        survives_or_is_none(folder, OLD, NEW)
    pytest.fail("writing has no end")


PROGRAM = """
import itertools, sys
from pathlib import Path
from tests.reference.console.test_records import NEW, OLD, write
for k in itertools.count():
    write(Path(sys.argv[1]) / str(k % 3), (OLD, NEW)[k // 3 % 2])
    print(flush=True)
"""


def test_a_writer_that_is_really_killed_is_never_taken_for_finished(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            for _ in range(7):
                process.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.02))
            process.kill()
        assert process.returncode == -signal.SIGKILL
        for folder in tmp_path.iterdir():
            for settings in (OLD, NEW):
                if is_finished(folder, settings):
                    check_rows(folder, settings)
    for folder in tmp_path.iterdir():
        survives_or_is_none(folder, OLD, NEW)


def test_what_a_killed_writer_leaves_is_cleared_away(tmp_path):
    (tmp_path / f"{HISTORY}.1.part").write_text("update\n")
    (tmp_path / f"{SETTINGS}.1.part").write_text("{")
    write(tmp_path, OLD)
    check(tmp_path, OLD)
    (tmp_path / f"{HISTORY}.1.part").write_text("update\n")
    discard_parts(tmp_path)
    check(tmp_path, OLD)
    discard_parts(tmp_path / "none")


# A full disk.


@pytest.mark.parametrize("older", [False, True])
def test_a_disk_that_is_full_at_any_step_leaves_nothing_half_done(tmp_path, monkeypatch, older):
    for step, folder in enumerate(folders(tmp_path, older)):

        def full(count, step=step):
            if count == step:
                raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            steps_of_writing(patch.setattr, full)
            failure = failure_of_writing(folder, NEW)
        if failure is None:
            assert step > 6
            check(folder, NEW)
            return
        assert failure.errno == errno.ENOSPC
        survives_or_is_none(folder, OLD, NEW)
    pytest.fail("writing has no end")


def failure_of_writing(folder, settings):
    """The error of the disk that writing a record meets, if any."""
    try:
        write(folder, settings)
    except OSError as error:
        return error
    return None


@pytest.mark.parametrize("space", [0, 100, 8192, 20000])
@pytest.mark.parametrize("older", [False, True])
def test_a_file_that_may_not_grow_leaves_the_older_record_and_no_part(tmp_path, space, older):
    if older:
        write(tmp_path, OLD)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (space, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(tmp_path, NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    if older:
        check(tmp_path, OLD)
    else:
        assert list(tmp_path.iterdir()) == []


def test_every_byte_is_on_the_disk_before_a_file_takes_its_name(tmp_path, monkeypatch):
    """Or a power cut would leave an empty file under the name of a finished one."""
    calls = []
    for name in ("fsync", "replace"):
        call = getattr(os, name)
        monkeypatch.setattr(records.os, name, lambda *a, name=name, call=call: calls.append(name) or call(*a))
    write(tmp_path, OLD)
    assert calls == ["fsync", "fsync", "replace", "replace"]


# Two at a time.


def test_of_two_writers_of_one_record_the_later_wins_and_the_other_is_told(tmp_path):
    first = Writer(tmp_path, NEW)
    first.__enter__()
    first.row({"lam": 1.0})
    write(tmp_path, OLD)
    first.row({"lam": 2.0})
    with pytest.raises(UserError, match="another command writes this record too"):
        first.__exit__(None, None, None)
    check(tmp_path, OLD)


def test_a_writer_does_not_finish_with_what_another_has_half_written(tmp_path):
    first, second = Writer(tmp_path, OLD), Writer(tmp_path, NEW)
    for writer in (first, second):
        writer.__enter__()
    second.row({"lam": 1.0})
    first.row({"lam": 2.0})
    with pytest.raises(UserError, match="another command writes this record too"):
        first.__exit__(None, None, None)
    assert not is_finished(tmp_path, OLD)
    second.row({"lam": 3.0})
    second.__exit__(None, None, None)
    assert_array_equal(read(tmp_path).history["lam"], [1.0, 3.0])
    assert sorted(path.name for path in tmp_path.iterdir()) == [HISTORY, SETTINGS]


# Damage.

DAMAGED_SETTINGS = ["", "{", "[]", '"settings"', "{}", "null", "3", '{"settings": ', "\x00", "[" * 100_000]
DAMAGED_HISTORY = ["", "a,b\n1\n", "a,b\n1,2\n3", 'a,b\n"1,2\n', "a,b\n1,2,3\n", "a,b\n1,2\n3,4,5\n", "\n1\n"]


@pytest.mark.parametrize("text", DAMAGED_SETTINGS)
def test_damaged_settings_are_one_line_that_names_the_file(tmp_path, text):
    write(tmp_path, OLD, steps=1)
    (tmp_path / SETTINGS).write_text(text)
    for ask in (lambda: is_finished(tmp_path, OLD), lambda: read(tmp_path), lambda: list(find(tmp_path))):
        with pytest.raises(UserError, match="delete the folder and run again") as refusal:
            ask()
        assert str(tmp_path / SETTINGS) in str(refusal.value)


@pytest.mark.parametrize("text", DAMAGED_HISTORY)
def test_a_damaged_history_is_one_line_that_names_the_file(tmp_path, text):
    write(tmp_path, OLD, steps=1)
    (tmp_path / HISTORY).write_text(text)
    with pytest.raises(UserError, match="delete the folder and run again") as refusal:
        read(tmp_path)
    assert str(tmp_path / HISTORY) in str(refusal.value)


@pytest.mark.parametrize("name", [SETTINGS, HISTORY])
def test_a_file_that_is_not_text_is_damaged(tmp_path, name):
    write(tmp_path, OLD, steps=1)
    (tmp_path / name).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=f"{name} (cannot be read|is not text)"):
        read(tmp_path)


def test_missing_settings_are_damage(tmp_path):
    write(tmp_path, OLD, steps=1)
    (tmp_path / SETTINGS).unlink()
    with pytest.raises(UserError, match="cannot be read"):
        is_finished(tmp_path, OLD)


def touched(folder, change):
    """A small record whose history a person has saved anew."""
    write(folder, OLD, steps=3)
    (folder / HISTORY).write_bytes(change((folder / HISTORY).read_bytes()))


def test_a_record_saved_by_a_spreadsheet_is_read_or_refused_with_its_name(tmp_path):
    touched(tmp_path, lambda raw: b"\xef\xbb\xbf" + raw.replace(b",", b" , ").replace(b"\n", b"\r\n"))
    check_history = read(tmp_path).history
    assert list(check_history) == ["update", "lam", "padding"]
    assert_array_equal(check_history["update"], np.arange(3))
    first_cell = (b"\n0,", b"\n,")
    for change, words in (
        (lambda raw: raw.replace(b",", b";"), "line 1: columns parted by ';'"),
        (lambda raw: raw.replace(*first_cell), "an empty cell in line 2, column 'update'"),
        (lambda raw: raw.replace(b"lam", b"update"), "more than one column is named update"),
    ):
        touched(tmp_path, change)
        with pytest.raises(UserError, match=f"{HISTORY}.*{words}"):
            read(tmp_path)


def test_a_column_that_is_not_there_is_one_line_with_the_files_name(tmp_path):
    touched(tmp_path, lambda raw: raw.replace(b"lam", b"lambda"))
    with pytest.raises(UserError, match=f"{HISTORY} has no column 'lam'"):
        _ = read(tmp_path).history["lam"]
