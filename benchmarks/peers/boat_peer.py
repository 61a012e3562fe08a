"""BOAT: lower-level steps of SGD from the exact weights, and its operations for the hypergradient."""

import os
from typing import Any

import boat_torch  # pyright: ignore[reportMissingImports]
import torch
from numpy import ndarray

from benchmarks.peers.safe_step import safe_step
from benchmarks.peers.torch_problem import torch_problem
from benchmarks.peers.torch_vector import Vector


def lower(feed: Any, outer: Any, inner: Any, **options: Any) -> torch.Tensor:
    """L_T, found by its name; BOAT passes the weights of an inner step as `params`."""
    return feed["view"].train(outer(), inner(**options))


def upper(feed: Any, outer: Any, inner: Any, **options: Any) -> torch.Tensor:
    """L_V."""
    return feed["view"].valid(outer(), inner(**options))


def hypergradient(
    problem: Any,
    lam: ndarray,
    *operations: str,
    mapping: str = "NGD",
    lr: float | None = None,
    steps: int = 1,
    truncated: int = 0,
    k: int = 10,
    tolerance: float = 1e-10,
    calls: int = 1,
) -> ndarray:
    """dL_V/dλ by its "numerical approximations"; what is not given here is as in its L2 example.

    Args:
        lr: of the lower level; where none is given, the safe step.
        calls: of `run_iter`, λ and w at rest.
    """
    view = torch_problem(problem, lam)
    lr = safe_step(view) if lr is None else lr
    outer, inner = Vector(view.lam), Vector(view.best)
    config = {
        "fo_op": None,
        "gm_op": [mapping],
        "na_op": list(operations),
        "return_grad": True,
        "lower_iters": steps,
        "device": "cpu",
        "accumulate_grad": False,
        "copy_last_param": False,
        "fo_ol_batch_input": False,
        "loss_log_path": os.devnull,
        "GDA": {"alpha_init": 0.5, "alpha_decay": 0.9},
        "DM": {"auxiliary_v_lr": 0.1, "tau": 0.01, "p": 100, "mu0": 0.9, "eta0": 0.5, "strategy": "s1"},
        "RGT": {"truncate_iter": truncated},
        "CG": {"k": k, "tolerance": tolerance},
        "FD": {"r": 1e-2},
        "lower_level_model": inner,
        "upper_level_model": outer,
        "lower_level_var": list(inner.parameters()),
        "upper_level_var": list(outer.parameters()),
        "lower_level_opt": torch.optim.SGD(inner.parameters(), lr=lr),
        "upper_level_opt": torch.optim.SGD(outer.parameters(), lr=0.01),
    }
    names = {f"{level}_level_loss": {"function": f"{__name__}.{level}"} for level in ("lower", "upper")}
    boat = boat_torch.Problem(config, names)
    boat.build_ll_solver()
    boat.build_ul_solver()
    for call in range(calls):
        outer.zero_grad()  # where the gradient is asked for, each call adds to it
        boat.run_iter({"view": view}, {"view": view}, current_iter=call)
    assert outer.value.grad is not None
    return outer.value.grad.numpy()


def of(*operations: str, **options: Any) -> Any:
    """A setting."""

    def function(problem: Any, lam: ndarray) -> ndarray:
        return hypergradient(problem, lam, *operations, **options)

    return function


STEP = "SGD(lr=1/largest eigenvalue)"
SETTINGS = {
    "its L2 example: NGD, RAD, 1 step of SGD(lr=0.01)": of("RAD", lr=0.01),
    f"NGD, RAD, 200 steps of {STEP}": of("RAD", steps=200),
    f"NGD, RGT + RAD, 200 steps of {STEP}, truncate_iter=10": of("RGT", "RAD", steps=200, truncated=10),
    f"NGD, PTT + RAD, 200 steps of {STEP}": of("PTT", "RAD", steps=200),
    f"NGD, FOA + RAD, 200 steps of {STEP}": of("FOA", "RAD", steps=200),
    "NGD, FD(r=0.01), SGD(lr=0.01)": of("FD", lr=0.01),
    "NGD, IGA, SGD(lr=0.01)": of("IGA", lr=0.01),
    f"NGD, NS(k=199, tolerance=1e-10), {STEP}": of("NS", k=199),
    "NGD, CG(k=10, tolerance=1e-10), SGD(lr=0.01)": of("CG", lr=0.01),
    "NGD, CG(k=1000, tolerance=1e-10), SGD(lr=0.01)": of("CG", lr=0.01, k=1000),
    "NGD, CG(k=1000, tolerance=1e-20), SGD(lr=0.01)": of("CG", lr=0.01, k=1000, tolerance=1e-20),
    "NGD, CG(k=1000, tolerance=1e-20), SGD(lr=0.1)": of("CG", lr=0.1, k=1000, tolerance=1e-20),
    f"DM, CG, {STEP}, run_iter called 1000 times": of("CG", mapping="DM", calls=1000),
}
