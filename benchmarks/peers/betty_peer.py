"""Betty's engine: one step of an outer problem above an inner one that rests at the exact weights (its rate is 0)."""

from typing import Any

import torch
from betty.configs import Config, EngineConfig  # pyright: ignore[reportMissingImports]
from betty.engine import Engine  # pyright: ignore[reportMissingImports]
from betty.problems import ImplicitProblem  # pyright: ignore[reportMissingImports]
from numpy import ndarray

from benchmarks.peers.torch_vector import Vector
from deep.yardstick import torch_problem


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


def neumann(problem: Any, lam: ndarray) -> ndarray:
    """Twenty terms at its default step, 1."""
    return hypergradient(problem, lam, type="neumann", neumann_iterations=20)


def cg(problem: Any, lam: ndarray) -> ndarray:
    """Twenty steps of conjugate gradient."""
    return hypergradient(problem, lam, type="cg", cg_iterations=20)


SETTINGS = {
    "default: darts": default,
    "neumann, 20 iterations": neumann,
    "cg, 20 iterations": cg,
}
