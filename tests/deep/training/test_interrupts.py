"""Ctrl-C waits for the end of a step, and what was done until then is kept."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deep.training import checkpoint
from deep.training.fit import record
from deep.training.terminal import interrupts_held
from tests.deep.small import history, run, tuner


@pytest.fixture(autouse=True)
def pythons_own_handler() -> Iterator[None]:
    """A command in the background begins with interrupts ignored, and would test nothing."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ctrl_c() -> None:
    """What a terminal sends."""
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_is_noted_and_the_second_is_answered_at_once() -> None:
    with interrupts_held() as come:
        assert not come()
        ctrl_c()
        assert come()
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


def test_where_somebody_else_answers_nothing_changes() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        with interrupts_held() as come:
            ctrl_c()
            assert not come()
        assert seen == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_nothing_changes() -> None:
    answers: list[bool] = []

    def work() -> None:
        with interrupts_held() as come:
            answers.append(come())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False]


@pytest.mark.parametrize("step", [1, 4, 7])
def test_a_run_keeps_every_step_that_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    tuned = tuner()
    stepping = tuned.inner_step_over

    def interrupted(batches):
        seen = stepping(batches)
        if tuned.inner_steps == step:
            ctrl_c()
        return seen

    monkeypatch.setattr(tuned, "inner_step_over", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record(run(tuned, tmp_path), {})
    kept = checkpoint.load(tmp_path)
    assert kept is not None
    assert kept["tuner"]["steps"][0] == step
    record(run(tuner(), tmp_path), {})
    record(run(tuner(), tmp_path / "straight"), {})
    assert history(tmp_path) == history(tmp_path / "straight")
