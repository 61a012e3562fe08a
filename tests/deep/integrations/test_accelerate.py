"""Accelerate holds a Tuner as it holds any loop, and its checkpoints hold the Tuner."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from deep.hyper.hyperparameters import Hyperparameters
from deep.rates.find import dropout_rates
from deep.tuner.tuner import Tuner
from tests.deep.integrations.small import foreign

accelerate = pytest.importorskip("accelerate", reason="needs '.[integrations]'")

pytestmark = [*foreign, pytest.mark.usefixtures("no_types_checked")]


def prepared(init: int):
    """An accelerator, a Tuner of the prepared model, and a prepared loader."""
    torch.manual_seed(init)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    accelerator = accelerate.Accelerator(cpu=True)
    model, loader = accelerator.prepare(model, DataLoader(TensorDataset(x, torch.arange(64) % 3), 16))
    tuner = Tuner(model, Hyperparameters(dropout_rates(model)), F.cross_entropy, T_train=1)
    accelerator.register_for_checkpointing(tuner)
    return accelerator, tuner, loader


def epoch(tuner: Tuner, loader) -> None:
    for x, t in loader:
        tuner.inner_step(x, t)
        tuner.outer_step(x, t)


def test_a_tuner_goes_on_from_an_accelerators_checkpoint(tmp_path):
    accelerator, straight, loader = prepared(0)
    epoch(straight, loader)
    accelerator.save_state(str(tmp_path))
    epoch(straight, loader)
    accelerator, other, loader = prepared(5)
    accelerator.load_state(str(tmp_path))
    epoch(other, loader)
    assert other.inner_steps == 8
    assert other.hyper.values() == straight.hyper.values()
    for ours, theirs in zip(other.model.parameters(), straight.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_processes_with_a_model_in_ddp_follow_one_that_has_the_whole_batch(tmp_path):
    script = Path(__file__).with_name("prepared.py")
    results = []
    for count in (1, 2):
        path = tmp_path / f"{count}.pt"
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if count == 2 else []
        done = subprocess.run([sys.executable, *launcher, script, path], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        results.append(torch.load(path))
    first, two = results
    assert (first["model"], first["rows"]) == ("Sequential", 12)
    assert (two["model"], two["rows"]) == ("DistributedDataParallel", 6)
    torch.testing.assert_close(two["state"], first["state"], rtol=1e-9, atol=1e-11)
