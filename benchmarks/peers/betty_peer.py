"""Betty's engine: one step of an outer problem above an inner one that rests at the exact weights (its rate is 0)."""

from typing import Any

import torch
from betty.configs import Config, EngineConfig  # pyright: ignore[reportMissingImports]
from betty.engine import Engine  # pyright: ignore[reportMissingImports]
from betty.problems import ImplicitProblem  # pyright: ignore[reportMissingImports]
from numpy import ndarray

from benchmarks.peers.safe_step import safe_step
from benchmarks.peers.torch_problem import torch_problem
from benchmarks.peers.torch_vector import Vector


def hypergradient(problem: Any, lam: ndarray, **options: Any) -> ndarray:
    """dL_V/dλ: what one outer SGD step of rate 1 subtracts from λ."""
    view = torch_problem(problem, lam)

    class Outer(ImplicitProblem):
        def training_step(self, batch: Any) -> torch.Tensor:
            return view.valid(self.module(), self.inner())

    class Inner(ImplicitProblem):
        def training_step(self, batch: Any) -> torch.Tensor:
            return view.train(self.outer(), self.module())

    parts = {}
    for name, kind, value, rate in (("outer", Outer, view.lam, 1.0), ("inner", Inner, view.best, 0.0)):
        module = Vector(value)
        # Without `retain_graph` it raises an error where L_V depends on λ directly.
        config = Config(**options) if name == "inner" else Config(retain_graph=True)
        optimiser = torch.optim.SGD(module.parameters(), lr=rate)
        parts[name] = kind(name=name, module=module, optimizer=optimiser, train_data_loader=[(0,)], config=config)
    outer, inner = parts["outer"], parts["inner"]
    dependencies = {"u2l": {outer: [inner]}, "l2u": {inner: [outer]}}
    engine = Engine([outer, inner], EngineConfig(train_iters=1), dependencies)
    engine.run()
    return (view.lam - outer.module.value.detach()).numpy()


def default(problem: Any, lam: ndarray) -> ndarray:
    """`type="darts"`: one step."""
    return hypergradient(problem, lam)


def sama(problem: Any, lam: ndarray) -> ndarray:
    """One step, preconditioned as by the inner optimiser: SGD's is the identity."""
    return hypergradient(problem, lam, type="sama")


def neumann(problem: Any, lam: ndarray) -> ndarray:
    """Twenty iterations at its default step, 1."""
    return hypergradient(problem, lam, type="neumann", neumann_iterations=20)


def safe(problem: Any, lam: ndarray) -> ndarray:
    """Two hundred terms as long as is safe."""
    return _safe(problem, lam, 199)


def patient(problem: Any, lam: ndarray) -> ndarray:
    """... and as many as a condition number of 1e4 asks for."""
    return _safe(problem, lam, 100_000)


def cg(problem: Any, lam: ndarray) -> ndarray:
    """Twenty steps of conjugate gradient."""
    return hypergradient(problem, lam, type="cg", cg_iterations=20)


def scaled(problem: Any, lam: ndarray) -> ndarray:
    """... with another `cg_alpha`."""
    return hypergradient(problem, lam, type="cg", cg_iterations=20, cg_alpha=2.0)


def _safe(problem: Any, lam: ndarray, iterations: int) -> ndarray:
    alpha = safe_step(torch_problem(problem, lam))
    return hypergradient(problem, lam, type="neumann", neumann_iterations=iterations, neumann_alpha=alpha)


SETTINGS = {
    "default: darts": default,
    "sama": sama,
    "neumann, 20 iterations": neumann,
    "neumann, 199 iterations, neumann_alpha=1/largest eigenvalue": safe,
    "neumann, 100000 iterations, neumann_alpha=1/largest eigenvalue": patient,
    "cg, 20 iterations": cg,
    "cg, 20 iterations, cg_alpha=2": scaled,
}
