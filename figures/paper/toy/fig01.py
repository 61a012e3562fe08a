"""Figure 1: ridge on one feature: the training (left) and validation (right) loss over λ and its one weight.

The valley's floor on the left is the true best response; the hypernetwork is the straight line through ★ that follows
it near λ0. Laid into the surface on the right, the same line rises or falls with λ: its slope is the response gradient.

name        symbol     shape
lam, w      λ, w       (K, L)     a grid, or (K,) a curve
lam0, w0    λ0, w0     ()
Theta       Θ          ()
slope       Θᵀ∂L_V/∂w  ()         Eqn. 2.4
"""

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.drawing import style
from figures.reading.selection import of_dataset, replicas
from reference.console.records import Record
from reference.problems.ridge import Ridge
from toy.data.datasets import load
from toy.data.split import split
from toy.paper.experiments import EXPERIMENTS, one_feature

NEEDS = ("one-feature",)
DATA = ("diabetes",)
METHOD = "Δ-STN"
REACH, LOCAL, STEP = 3.5, 2 * EXPERIMENTS["one-feature"].sigma, 2.5
"""How far the surfaces and the learned line go to either side of λ0, and the slope's triangle to one."""
WEIGHTS = np.linspace(0.0, 0.85, 61)
CEILING = 0.65
"""What lies above is cut off."""
LINE: dict[str, Any] = {"linewidth": 2.4, **style.LINES[METHOD]}
SLOPE: dict[str, Any] = {"color": "black", "linewidth": 0.8}

Height = Callable[[np.ndarray, np.ndarray], np.ndarray]


def draw(records: Sequence[Record]) -> Figure:
    """The picture, of the seed whose exact response gradient is steepest."""
    dataset = load(DATA[0])
    runs = replicas(of_dataset(records, "one-feature", dataset), METHOD)
    run = max(runs, key=lambda record: abs(record.history["hypergradient_exact"][-1]))
    problem = one_feature(split(dataset, run.settings["seed"]))
    with mpl.rc_context(style.RC):
        figure = style.new_figure(3.4)
        left, right = figure.subplots(1, 2, subplot_kw={"projection": "3d", "computed_zorder": False})
        draw_surface(left, on_surface(problem.train_loss), problem, run)
        draw_surface(right, on_surface(problem.valid_loss), problem, run)
        draw_slope(right, on_surface(problem.valid_loss), run)
        left.set_title("training loss $L_T$(λ, w)", y=1.0)
        right.set_title("validation loss $L_V$(λ, w)", y=1.0)
        return style.finish(figure, handles(), caption(run))


def on_surface(loss: Callable[..., Any]) -> Height:
    """A loss of λ and w as numbers rather than vectors of one, cut off at CEILING."""
    return lambda lam, w: np.minimum(loss(lam[..., None], w[..., None]), CEILING)


def configuration(run: Record) -> tuple[np.ndarray, ...]:
    """λ0, w0, Θ and the learned response gradient at the last update."""
    return tuple(run.history[name][-1] for name in ("lam", "w_1", "theta_1", "hypergradient"))


def draw_surface(axes: Any, height: Height, problem: Ridge, run: Record) -> None:
    """A loss over (λ, w), and on it the best response, the learned line and ★."""
    lam0, w0, Theta, _ = configuration(run)
    lam, w = np.meshgrid(np.linspace(lam0 - REACH, lam0 + REACH, 61), WEIGHTS, indexing="ij")
    z = height(lam, w)
    low, extent = z.min(), np.ptp(z)
    # The light half of the colours, so that lines stand out.
    colours = {"cmap": "YlOrBr", "vmin": low - 0.1 * extent, "vmax": low + 2 * extent}
    axes.plot_surface(lam, w, z, rcount=61, ccount=61, linewidth=0, zorder=1, **colours)
    axes.plot_wireframe(lam, w, z, rcount=13, ccount=13, color="0.5", linewidth=0.3, zorder=2)
    curve = lam[:, 0]
    response = problem.best_response(curve[:, None])[:, 0]
    axes.plot(curve, response, height(curve, response), gid="best response", linewidth=1.4, zorder=3, **style.EXACT)
    near = np.linspace(lam0 - LOCAL, lam0 + LOCAL, 41)
    weights = w0 + Theta * (near - lam0)
    axes.plot(near, weights, height(near, weights), gid=METHOD, zorder=4, **LINE)
    axes.plot([lam0], [w0], height(lam0[None], w0[None]), gid="star", zorder=6, **style.STAR)
    axes.set(xlabel="λ", ylabel="w")
    axes.tick_params(pad=-2)
    axes.view_init(elev=28, azim=-130)
    axes.set_box_aspect((1.25, 1, 0.75), zoom=1.08)


def draw_slope(axes: Any, height: Height, run: Record) -> None:
    """The response gradient as a triangle in the direction of the learned line: one side flat, one upright."""
    lam0, w0, Theta, slope = configuration(run)
    end, level = (lam0 + STEP, w0 + STEP * Theta), float(height(lam0[None], w0[None])[0])
    corners = [(lam0, w0, level), (*end, level), (*end, level + STEP * slope), (lam0, w0, level)]
    axes.plot(*zip(*corners, strict=True), gid="slope", zorder=5, **SLOPE)


def handles() -> list[Line2D]:
    """What the legend shows."""
    return [
        Line2D([], [], label="best response r(λ)", **style.EXACT),
        Line2D([], [], label="learned $w_0$ + Θ(λ − λ₀)", **LINE),
        Line2D([], [], label="current", linestyle="none", **style.STAR),
        Line2D([], [], label="slope at ★: response gradient", **SLOPE),
    ]


def caption(run: Record) -> str:
    """What is seen, and with which settings."""
    settings, history = run.settings, run.history
    slope, exact = history["hypergradient"][-1], history["hypergradient_exact"][-1]
    return (
        f"Figure 1. Ridge (H.1) on the one feature of {DATA[0]} that goes best with the target; of the seeds the one "
        f"of the steepest slope, {settings['seed']}; λ held at log {settings['start']:g}, σ = {settings['sigma']:g}. "
        f"Left: the valley's floor is r(λ), and {METHOD}'s line, drawn over λ₀ ± 2σ, follows it. Right: the same line "
        f"laid into the validation loss. Its slope at ★, {slope:.4f} for each unit of λ, is the response gradient "
        f"(2.4; exact: {exact:.4f}); descent moves λ against it. Losses above {CEILING:g} are cut off."
    )
