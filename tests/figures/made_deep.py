"""Records of trained networks, made by hand and written as `python -m deep` writes them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reference.console.records import Record, Writer, read

SIZE = {
    "epochs": 150,
    "warm_up": 5,
    "data": None,
    "rows": 5000,
    "test_rows": 2000,
    "width": 0.5,
    "batch": 128,
    "stream": 70,
}


def settings(experiment: str, method: str, seed: int, preset: str = "cpu", **changes: Any) -> dict[str, Any]:
    """What `deep.runner.jobs.Job.settings` holds."""
    size = SIZE if preset == "cpu" else SIZE | {"rows": None, "test_rows": None, "width": 1.0, "epochs": 300}
    return {
        "experiment": experiment,
        "preset": preset,
        "method": method,
        "seed": seed,
        "size": size | ({"data": "digits"} if preset == "smoke" else {}),
        "changes": changes,
        "tau": 0.001,
    }


def write(
    root: Path,
    experiment: str,
    method: str,
    valid: Sequence[float],
    seed: int = 0,
    preset: str = "cpu",
    *,
    test: Sequence[float] | None = None,
    seconds: Sequence[float] | None = None,
    hyper: Mapping[str, Any] | None = None,
    columns: Mapping[str, Sequence[float]] | None = None,
    facts: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Record:
    """A row for each validation loss; epochs 0, 1, 2, ..., unless other columns say otherwise."""
    length = len(valid)
    hyper = {name: np.broadcast_to(np.array(value, dtype=float), length) for name, value in (hyper or {}).items()}
    history = {
        "epoch": range(length),
        "inner_steps": [30 * i for i in range(length)],
        "outer_steps": [6 * i for i in range(length)],
        "valid_loss": valid,
        "test_loss": [loss + 0.5 for loss in valid] if test is None else test,
        **hyper,
        **{f"sigma {name}": [changes.get("sigma", 1.0)] * length for name in hyper},
        "seconds": [10.0 * i for i in range(length)] if seconds is None else seconds,
        **(columns or {}),
    }
    folder = root.joinpath(experiment, preset, method, *(f"{key}-{value}" for key, value in changes.items()))
    with Writer(folder / f"seed-{seed}", settings(experiment, method, seed, preset, **changes)) as writer:
        writer.facts |= {"hyperparameters": list(hyper), "device": "cpu", "threads": 2, **(facts or {})}
        for i in range(length):
            writer.row({name: column[i] for name, column in history.items()})
    return read(folder / f"seed-{seed}")
