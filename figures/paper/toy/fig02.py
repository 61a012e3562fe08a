"""Figure 2: a small nonlinear problem: its true best response, the Jacobian at ★, and the Jacobians STN and Δ-STN find.

Left, contours of the training loss at λ0 over both weights. Middle and right, the planes (λ, w1) and (λ, w2): there the
contours are of the training loss less its least value at that λ, the other weight at its best response, so that the
valley's floor is the true best response. Each method's line is w + Θ(λ - λ0) through its own weights w.

name       symbol   shape
lam        λ        (K, 1)
w, Theta   w, Θ     (2,)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.drawing import style
from figures.reading.selection import exact_by_seed, of_dataset, replicas
from reference.console.records import Record
from reference.problems.saturating import SaturatingSlopes
from toy.data.datasets import load
from toy.data.split import split
from toy.paper.experiments import EXPERIMENTS, saturating

NEEDS = ("nonlinear",)
DATA = ("diabetes",)
METHODS = ("STN", "Δ-STN")
LAM0, SIGMA = EXPERIMENTS["nonlinear"].start(0), EXPERIMENTS["nonlinear"].sigma
LAM = np.linspace(0.0, LAM0 + 2 * SIGMA, 121)[:, None]
"""What is drawn of λ; below 0 the slopes soon reach their bounds."""
LEVELS = np.linspace(0.0, 1.0, 15)[1:-1] ** 2
"""Of the contours, as fractions of the highest loss."""
TANGENT: dict[str, Any] = {"color": "0.6", "linewidth": 5.0}
LOOKS: dict[str, dict[str, Any]] = {
    "STN": {"linewidth": 1.6, "markersize": 4, "marker": "s", "zorder": 4},
    "Δ-STN": {"linewidth": 2.2, "markersize": 5.5, "marker": "o", "zorder": 3},
}

Line = tuple[np.ndarray, np.ndarray]
"""Weights at λ0, and their derivative in λ."""


def draw(records: Sequence[Record]) -> Figure:
    """The picture, of the first seed; the caption has the medians of all."""
    dataset = load(DATA[0])
    group = of_dataset(records, "nonlinear", dataset)
    runs = {method: replicas(group, method) for method in METHODS}
    problems = {seed: saturating(split(dataset, seed)) for seed in exact_by_seed(group)}
    problem, lines = problems[min(problems)], {method: learned(runs[method][0]) for method in METHODS}
    with mpl.rc_context(style.RC):
        figure = style.new_figure(3.3)
        weights, *planes = figure.subplots(1, 3)
        draw_weights(weights, problem, lines)
        for i, axes in enumerate(planes):
            draw_plane(axes, problem, lines, i)
        return style.finish(figure, handles(problem, lines), caption(runs, problems))


def learned(record: Record) -> Line:
    """The line that a method has found by its last update."""
    last = {name: column[-1] for name, column in record.history.items()}
    return np.array([last["w_1"], last["w_2"]]), np.array([last["theta_1"], last["theta_2"]])


def tangent(problem: SaturatingSlopes) -> Line:
    """The true best response at λ0 and its Jacobian."""
    lam0 = np.array([LAM0])
    return problem.best_response(lam0), problem.best_response_jacobian(lam0)[:, 0]


def error(problem: SaturatingSlopes, Theta: np.ndarray) -> float:
    """‖Θ - ∂r/∂λ‖ / ‖∂r/∂λ‖, in per cent."""
    jacobian = tangent(problem)[1]
    return float(100 * np.linalg.norm(Theta - jacobian) / np.linalg.norm(jacobian))


def draw_weights(axes: Axes, problem: SaturatingSlopes, lines: Mapping[str, Line]) -> None:
    """Contours over both weights at λ0; the lines reach from λ0 - σ to λ0 + σ, where they have marks."""
    grid = np.linspace(0.6, 2.3, 121)
    loss = np.asarray(problem.train_loss(np.array([LAM0]), np.stack(np.meshgrid(grid, grid), axis=-1)))
    contours(axes, grid, grid, loss - loss.min())
    axes.plot(*problem.best_response(LAM).T, gid="best response", **style.EXACT)
    ends = np.array([[-SIGMA], [SIGMA]])
    w, Theta = tangent(problem)
    axes.plot(*(w + ends * Theta).T, gid="tangent", **TANGENT)
    for name, (weights, slope) in lines.items():
        axes.plot(*(weights + ends * slope).T, gid=name, **style.LINES[name], **LOOKS[name])
    axes.plot(*w[:, None], zorder=5, **style.STAR)
    axes.set(
        xlabel="$w_1$", ylabel="$w_2$", title=f"training loss at λ₀ = {LAM0:g}", xlim=grid[[0, -1]], ylim=grid[[0, -1]]
    )


def draw_plane(axes: Axes, problem: SaturatingSlopes, lines: Mapping[str, Line], i: int) -> None:
    """The plane (λ, w_i), with marks at λ0 - σ and λ0 + σ."""
    grid, best = np.linspace(0.5, 2.3, 121), problem.best_response(LAM)
    w = np.repeat(best[None], len(grid), axis=0)
    w[..., i] = grid[:, None]
    contours(axes, LAM[:, 0], grid, np.asarray(problem.train_loss(LAM, w) - problem.train_loss(LAM, best)))
    axes.plot(LAM[:, 0], best[:, i], gid="best response", **style.EXACT)
    w0, Theta = tangent(problem)
    axes.plot(LAM[:, 0], w0[i] + Theta[i] * (LAM[:, 0] - LAM0), gid="tangent", **TANGENT)
    marks = [int(np.abs(LAM - LAM0 - side).argmin()) for side in (-SIGMA, SIGMA)]
    for name, (weights, slope) in lines.items():
        line = weights[i] + slope[i] * (LAM[:, 0] - LAM0)
        axes.plot(LAM[:, 0], line, gid=name, markevery=marks, **style.LINES[name], **LOOKS[name])
    axes.plot([LAM0], [w0[i]], zorder=5, **style.STAR)
    axes.set(
        xlabel="λ", ylabel=f"$w_{i + 1}$", title=f"plane (λ, $w_{i + 1}$)", xlim=LAM[[0, -1], 0], ylim=grid[[0, -1]]
    )


def contours(axes: Axes, x: np.ndarray, y: np.ndarray, loss: np.ndarray) -> None:
    """Light contours of a loss whose least value is 0."""
    levels = loss.max() * LEVELS
    axes.contourf(x, y, loss, [0.0, *levels, loss.max()], cmap="YlOrBr", vmax=3 * loss.max(), zorder=0)
    axes.contour(x, y, loss, levels, colors="0.6", linewidths=0.4, zorder=1)


def handles(problem: SaturatingSlopes, lines: Mapping[str, Line]) -> list[Line2D]:
    """What the legend shows, with the error of each Jacobian."""
    best, slope = (
        Line2D([], [], label="best response r(λ)", **style.EXACT),
        Line2D([], [], label="its tangent", **TANGENT),
    )
    looks = {name: {**style.LINES[name], **LOOKS[name]} for name in lines}
    errors = {name: f"{name}: Θ {error(problem, Theta):.1f} % off" for name, (_, Theta) in lines.items()}
    return [best, slope, *(Line2D([], [], label=errors[name], **looks[name]) for name in lines)]


def caption(runs: Mapping[str, Sequence[Record]], problems: Mapping[int, SaturatingSlopes]) -> str:
    """What is seen, and the medians over the seeds."""
    errors = {
        method: [error(problems[record.settings["seed"]], learned(record)[1]) for record in group]
        for method, group in runs.items()
    }
    medians = ", ".join(f"{method} {np.median(group):.1f} %" for method, group in errors.items())
    return (
        f"Figure 2. Ridge on two features of {DATA[0]} with slopes c tanh(w), seed {min(problems)}; λ held at λ₀ = "
        f"{LAM0:g}, σ = {SIGMA:g}, full batches. Lines: w + Θ(λ − λ₀) through each method's own weights, marked at "
        f"λ₀ ± σ; ★: r(λ₀). Contours: training loss; in the planes less its least value at each λ, the other weight "
        f"at its best response. Θ's error ‖Θ − ∂r/∂λ‖ / ‖∂r/∂λ‖, median of {len(problems)} seeds: {medians}."
    )
