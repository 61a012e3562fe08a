"""Processes that share each batch follow one process that has it whole, record once, and fail together."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deep.hyper.parallel import Share, added, gathered, processes, rank, summed
from reference.console import records
from tests.deep.small import timeless
from tests.deep.workers import FOLLOWED

TOGETHER = 1e-9
"""Sums in another order, in float64, over six inner steps."""

NAMES = [method.name for method in FOLLOWED] + ["plain"]
counts = pytest.mark.parametrize("count", [2, 3])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, dict[int, list[dict[str, Any]]]]:
    """The folder, and for each number of processes what each of them found."""
    root = tmp_path_factory.mktemp("trained")
    done = subprocess.run(
        [sys.executable, Path(__file__).parents[1] / "workers.py", root], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return root, {n: [torch.load(root / str(n) / f"{k}.pt") for k in range(n)] for n in (1, 2, 3)}


def close(item: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Two state_dicts hold the same numbers to rounding."""
    assert item.keys() == other.keys()
    for name, value in item.items():
        np.testing.assert_allclose(value, other[name], rtol=TOGETHER, atol=TOGETHER)


@counts
@pytest.mark.parametrize("name", [*NAMES, "batch"])
def test_processes_follow_one(trained, name, count):
    (alone,), several = trained[1][1], trained[1][count]
    rows, model, branches = alone["followed"][name]
    for item in several:
        rows_here, model_here, branches_here = item["followed"][name]
        close(model_here, model)
        close(branches_here, branches)
        for row, wanted in zip(rows_here, rows, strict=True):
            assert row.keys() == wanted.keys()
            for key in row.keys() - {"seconds"}:
                np.testing.assert_allclose(row[key], wanted[key], rtol=TOGETHER, err_msg=key)
    assert len({repr(timeless(item["followed"][name][0])) for item in several}) == 1  # bit for bit among themselves


@counts
@pytest.mark.parametrize("name", NAMES)
def test_records_are_written_once(trained, name, count):
    root, actual = trained
    record = records.read(root / str(count) / "followed" / name)
    assert record.history["valid_loss"].tolist() == [row["valid_loss"] for row in actual[count][0]["followed"][name][0]]
    assert sorted(path.name for path in record.folder.iterdir()) == ["history.csv", "settings.json"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_process_goes_on_with_its_own_generator(trained, count):
    for item in trained[1][count]:
        straight, broken = item["resumed"]["straight"], item["resumed"]["broken"]
        assert timeless(straight[0]) == timeless(broken[0])
        assert all(torch.equal(value, broken[1][name]) for name, value in straight[1].items())


@counts
def test_a_batch_norm_sees_all_rows_however_they_are_shared(trained, count):
    (alone,), several = trained[1][1], trained[1][count]
    for name, (rows, common) in alone["normed"].items():
        parts = [item["normed"][name] for item in several]
        for k, wanted in enumerate(rows):
            whole = torch.cat([own[k] for own, _ in parts])
            np.testing.assert_allclose(whole, wanted, rtol=TOGETHER, atol=TOGETHER, err_msg=name)
        for _, actual in parts:
            for item, wanted in zip(actual, common, strict=True):
                np.testing.assert_allclose(item, wanted, rtol=TOGETHER, atol=TOGETHER, err_msg=name)


@counts
def test_a_language_model_follows_one_process(trained, count):
    (alone,), several = trained[1][1], trained[1][count]
    rows, model = alone["language"]["straight"]
    for item in several:
        rows_here, model_here = item["language"]["straight"]
        close(model_here, model)
        for row, wanted in zip(rows_here, rows, strict=True):
            for key in row.keys() - {"seconds"}:
                np.testing.assert_allclose(row[key], wanted[key], rtol=TOGETHER, err_msg=key)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_process_goes_on_where_its_own_streams_stood(trained, count):
    for item in trained[1][count]:
        straight, broken = item["language"]["straight"], item["language"]["broken"]
        assert timeless(straight[0]) == timeless(broken[0])
        assert all(torch.equal(value, broken[1][name]) for name, value in straight[1].items())


@counts
def test_processes_fail_together_and_say_why(trained, count):
    said = [item["refused"] for item in trained[1][count]]
    for item in said:
        assert f"a batch of 1 examples is too small for {count} processes" in item["small"]
        assert "a batch without examples" in item["empty"]
        assert "holds this run's finished record" in item["finished"]
        # The last process's rows are at fault; by way of a batch's statistics all others' losses are not finite either.
        assert "after 0 inner steps: the inputs are not finite; " in item["poisoned"]
        assert "after 0 inner steps: the inputs are not finite; " in item["poisoned statistics"]
        assert "at perturbed weights layer 'first' puts out numbers that are not finite; " in item["perturbed"]
        assert "at perturbed weights layer 'norm' puts out" in item["perturbed statistics"]


def test_one_process_needs_nothing():
    assert (processes(), rank(), Share.of([3], torch.device("cpu"))) == (1, 0, [Share()])
    gradients = [torch.ones(2, 3)]
    assert added(gradients) is gradients
    assert gathered("x") == ["x"]
    assert summed([1.0, 2.0], torch.device("cpu")) == [1.0, 2.0]
