"""Records made by hand, so that what a figure must show is known."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from reference.beyond.control_variate.updates import extended
from reference.console.records import Record
from reference.rule.updates import METHODS
from toy.paper.experiments import EXPERIMENTS

BY_NAME = {method.name: method for method in METHODS}
INTERIOR = {"lam_star": 1.5, "where": "interior"}
NO_PENALTY = {"lam_star": -15.0, "where": "lower end"}


def settings(
    experiment: str, data: str, method: str, seed: int, rows: int = 442, digest: str = "0" * 16
) -> dict[str, Any]:
    """What `toy.paper.jobs.Job.settings` writes."""
    now = EXPERIMENTS[experiment]
    return {
        "experiment": experiment,
        "data": {"name": data, "rows": rows, "features": 10, "digest": digest},
        "method": asdict(extended(BY_NAME[method])),
        "seed": seed,
        "start": now.start(rows),
        "sigma": now.sigma,
        "batch": 10,
        "schedule": asdict(now.schedule),
    }


def record(
    method: str,
    seed: int = 0,
    experiment: str = "ridge",
    data: str = "diabetes",
    *,
    lam: Any = (0.0, 1.0, 2.0),
    regret: Any = (0.03, 0.02, 0.01),
    exact: dict[str, Any] = INTERIOR,
    outcome: str = "finished",
    theta_error: float = 0.5,
    cosine: Any = 1.0,
    **changes: Any,
) -> Record:
    """One run; the updates are 0, 5, 10, ..."""
    lam = np.array(lam, dtype=float)
    regrets, cosines = (np.broadcast_to(np.array(column, dtype=float), lam.shape) for column in (regret, cosine))
    with np.errstate(over="ignore"):
        values = EXPERIMENTS[experiment].s(lam)
    history = {
        "update": 5.0 * np.arange(len(lam)),
        "lam": lam,
        "rate" if experiment == "dropout" else "penalty": values,
        "regret": regrets,
        "theta_error": np.where(np.arange(len(lam)) == len(lam) - 1, theta_error, 9.0),
        "hypergradient_cosine": cosines,
    }
    facts = {"outcome": outcome, "exact": exact}
    return Record(Path("made"), settings(experiment, data, method, seed, **changes), facts, history)
