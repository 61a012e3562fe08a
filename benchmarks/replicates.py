"""One inner update (Δ-STN, ridge, m = 10, batch 10): five replicates against one, NumPy against torch autograd.

The three are timed in turn within one process, so that a machine that slows down slows all of them; what is printed
are medians and their ratios.
"""

from collections.abc import Callable
from time import perf_counter

import numpy as np
import torch

from reference.problems.ridge import Ridge
from reference.rule.hypernet import FullResponse
from reference.rule.updates import DELTA_STN, State, inner_step

M, BATCH, N, ALPHA = 10, 10, 353, 0.01
ROUNDS, REPEATS = 200, 50


def numpy_update(replicates: int) -> Callable[[], object]:
    """The update as the experiments make it: a mini-batch cut from the data, then w0's step and Θ's."""
    rng = np.random.default_rng(0)
    X, t = rng.standard_normal((replicates, N, M)), rng.standard_normal((replicates, N))
    ridge = Ridge(X, t, X, t, divisor=float(N))
    lam = np.zeros((replicates, 1))
    state = State(lam, lam + 1, np.zeros((replicates, M)), FullResponse(np.zeros((replicates, M, 1))))
    rows, eps = rng.integers(N, size=(replicates, BATCH)), rng.standard_normal((replicates, 1))

    def update() -> State:
        train = ridge.rows(rows)
        return inner_step(DELTA_STN, state, eps, train, train, ALPHA)

    return update


def torch_update(replicates: int) -> Callable[[], object]:
    """The same update of the same replicates, its two gradients by torch.autograd.grad in double precision."""
    torch.manual_seed(0)
    X, t = torch.randn(replicates, N, M, dtype=torch.double), torch.randn(replicates, N, dtype=torch.double)
    lam = torch.zeros(replicates, 1, dtype=torch.double)
    w0 = torch.zeros(replicates, M, dtype=torch.double, requires_grad=True)
    Theta = torch.zeros(replicates, M, 1, dtype=torch.double, requires_grad=True)
    rows, eps = torch.randint(N, (replicates, BATCH)), torch.randn(replicates, 1, dtype=torch.double)
    replicate = torch.arange(replicates)[:, None]

    def loss(lam: torch.Tensor, w: torch.Tensor, X: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        residual = torch.einsum("rbm,rm->rb", X, w) - t
        penalty = torch.exp(lam[:, 0]) / (2 * N) * (w**2).sum(1)
        return ((residual**2).sum(1) / (2 * BATCH) + penalty).sum()

    def update() -> object:
        X_b, t_b = X[replicate, rows], t[replicate, rows]
        (g,) = torch.autograd.grad(loss(lam, w0, X_b, t_b), w0)
        w = (w0 - ALPHA * g).detach()
        (G,) = torch.autograd.grad(loss(lam + eps, w + (Theta @ eps[..., None])[..., 0], X_b, t_b), Theta)
        return w, Theta - ALPHA * G

    return update


def seconds(update: Callable[[], object]) -> float:
    """Of one update, the mean over `REPEATS`."""
    begin = perf_counter()
    for _ in range(REPEATS):
        update()
    return (perf_counter() - begin) / REPEATS


def main() -> None:
    """Print the medians and ratios."""
    torch.set_num_threads(1)
    updates = {"NumPy, 5 replicates": numpy_update(5), "NumPy, 1": numpy_update(1), "torch, 5": torch_update(5)}
    times = np.array([[seconds(update) for update in updates.values()] for _ in range(ROUNDS)])
    for name, median in zip(updates, np.median(times, axis=0), strict=True):
        print(f"{name:>20}  {1e6 * median:7.1f} µs")
    five, single, autograd = times.T
    print(f"five replicates / one:        {np.median(five / single):.2f}  (at most 2)")
    print(f"five replicates / torch's:    {np.median(five / autograd):.2f}  (at most 0.25)")


if __name__ == "__main__":
    main()
