"""Figure b1, beyond the paper: the error of Θ against σ on ridge, λ held, with and without the control variate.

name      symbol                        meaning
error     ‖Θ - ∂r/∂λ‖/‖∂r/∂λ‖           median over the second half of a run; the points are means over the seeds
averaged                                the same of Θ's mean over that half
bias      ‖Θ* - ∂r/∂λ‖/‖∂r/∂λ‖          of Eqn. 3.10's own minimiser Θ* at w0 = r(λ), exact: what no averaging removes

Θ's step is divided by σ² with both, or Θ would not have arrived at small σ.
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.drawing import style
from figures.drawing.curves import WIDTH, draw_points
from figures.reading.selection import current_of, diverged
from figures.reading.variants import CV, Variant
from reference.beyond.control_variate.updates import DELTA_STN_CV_NORMALISED, DELTA_STN_NORMALISED
from reference.console.records import Record
from reference.problems.fixed_points import response_minimiser
from reference.problems.ridge import Ridge
from toy.data.datasets import load
from toy.data.split import split
from toy.paper.experiments import EXPERIMENTS, REGIME, ridge

NEEDS = ("response",)
DATA = ("diabetes", "concrete")
SIGMAS = (1.0, 0.3, 0.1, 0.03)
METHODS = {"Δ-STN": DELTA_STN_NORMALISED, CV: DELTA_STN_CV_NORMALISED}
RUNS = tuple(Variant(method, sigma) for method in METHODS.values() for sigma in SIGMAS)


def runs_of(records: Sequence[Record], name: str, sigma: float) -> list[Record]:
    """One method's records at one σ."""
    mine = asdict(METHODS[name])
    return [record for record in records if record.settings["method"] == mine and record.settings["sigma"] == sigma]


def problem_of(record: Record) -> tuple[Ridge, np.ndarray]:
    """The record's problem, on its own split, and the λ that is held."""
    settings = record.settings
    return _problem(settings["data"]["name"], settings["seed"]), np.log([settings["start"]])


@cache  # of the eight runs on a split, each asks for it several times
def _problem(data: str, seed: int) -> Ridge:
    return ridge(split(load(data), seed))


def relative(problem: Ridge, lam: np.ndarray, Theta: np.ndarray) -> float:
    """How far Θ (m,) is from the exact Jacobian."""
    exact = problem.best_response_jacobian(lam)[:, 0]
    return float(np.linalg.norm(Theta - exact) / np.linalg.norm(exact))


def settled(record: Record) -> np.ndarray:
    """Which kept steps are of the second half."""
    return record.history["update"] > record.settings["schedule"]["updates"] / 2


def error(record: Record) -> float:
    """The usual error of Θ once it has settled."""
    return np.inf if diverged(record) else float(np.median(record.history["theta_error"][settled(record)]))


def averaged(record: Record) -> float:
    """The error of Θ's mean since it has settled."""
    if diverged(record):
        return np.inf
    problem, lam = problem_of(record)
    columns = [record.history[f"theta_{i + 1}"][settled(record)] for i in range(problem.X.shape[-1])]
    return relative(problem, lam, np.mean(columns, axis=-1))


def bias(record: Record, sigma: float) -> float:
    """The error of the Θ at which the mean step vanishes, w0 at its optimum."""
    problem, lam = problem_of(record)
    Theta = response_minimiser(problem, lam, problem.best_response(lam), np.array([sigma]))
    return relative(problem, lam, Theta[:, 0])


def draw(records: Sequence[Record]) -> Figure:
    """The picture."""
    with mpl.rc_context(style.RC):
        figure = style.new_figure(3.1)
        row = figure.subplots(1, len(DATA), squeeze=False, sharey=True)[0]
        for axes, name in zip(row, DATA, strict=True):
            draw_data_set(axes, current_of(records, NEEDS[0], load(name)))
            axes.set(title=name, xlabel="perturbation scale σ", xscale="log", yscale="log")
        row[0].set_ylabel("error of Θ, relative")
        return style.finish(figure, handles(), caption())


def draw_data_set(axes: Axes, records: Sequence[Record]) -> None:
    """Both methods and the exact bias."""
    for name in METHODS:
        by_sigma = {sigma: runs for sigma in SIGMAS if (runs := runs_of(records, name, sigma))}
        if by_sigma:
            draw_points(axes, {s: [*map(error, runs)] for s, runs in by_sigma.items()}, name, **style.LINES[name])
            means = [np.mean([*map(averaged, runs)]) for runs in by_sigma.values()]
            axes.plot([*by_sigma], means, gid=f"{name}: averaged", **_thin(name))
    seeds = {record.settings["seed"]: record for record in records}
    if seeds:
        exact = [np.mean([bias(record, sigma) for record in seeds.values()]) for sigma in SIGMAS]
        axes.plot(SIGMAS, exact, gid="bias", linewidth=0.8, **style.EXACT)


def _thin(name: str) -> dict[str, Any]:
    return {**style.LINES[name], "linestyle": ":", "linewidth": 0.8, "marker": "x", "markersize": 4}


def handles() -> list[Line2D]:
    """What the legend shows."""
    thick: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": WIDTH}
    methods = [Line2D([], [], label=name, **thick, **style.LINES[name]) for name in METHODS]
    means = [Line2D([], [], label=f"{name}, mean Θ", **_thin(name)) for name in METHODS]
    return [*methods, *means, Line2D([], [], label="bias, exact", linewidth=0.8, **style.EXACT)]


def caption() -> str:
    """What was done."""
    now = EXPERIMENTS[NEEDS[0]]
    schedule, few, many = now.schedule, now.start(0), now.start(REGIME)
    return (
        f"Figure b1. Linear regression, weight decay (H.1), λ held at exp(λ) = {few:g} (from {REGIME} rows {many:g}): "
        f"the error of Θ against σ, with and without the control variate (CV). Batches of 10 (100) rows, α₁ = "
        f"{schedule.alpha1:g}, Θ's step divided by σ². Median over the second half of "
        f"{schedule.iterations(schedule.updates)} iterations, mean and range over the seeds; dotted: the error of Θ's "
        "mean over that half; dashed: of the Θ that minimises Eqn. 3.10, exact, which no averaging improves."
    )
