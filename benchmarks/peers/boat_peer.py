"""BOAT: lower-level steps of SGD from the exact weights, and one of its operations for the hypergradient."""

import os
from typing import Any

import boat_torch  # pyright: ignore[reportMissingImports]
import torch
from numpy import ndarray

from benchmarks.peers.torch_vector import Vector
from deep.yardstick import torch_problem


def lower(feed: Any, outer: Any, inner: Any, **given: Any) -> torch.Tensor:
    """L_T, found by its name; BOAT passes the weights of an inner step as `params`."""
    return feed["view"].train(outer(), inner(**given))


def upper(feed: Any, outer: Any, inner: Any, **given: Any) -> torch.Tensor:
    """L_V."""
    return feed["view"].valid(outer(), inner(**given))


def hypergradient(problem: Any, lam: ndarray, operation: str, k: int) -> ndarray:
    """dL_V/dλ by one of its "numerical approximations"; the other settings are those of its L2 example."""
    view = torch_problem(problem, lam)
    outer, inner = Vector(view.lam), Vector(view.best)
    config = {
        "fo_op": None,
        "gm_op": ["NGD"],
        "na_op": [operation],
        "return_grad": True,
        "lower_iters": 1,
        "device": "cpu",
        "accumulate_grad": False,
        "copy_last_param": False,
        "fo_ol_batch_input": False,
        "loss_log_path": os.devnull,
        "GDA": {"alpha_init": 0.5, "alpha_decay": 0.9},
        "RGT": {"truncate_iter": 0},
        "CG": {"k": k, "tolerance": 1e-10},
        "lower_level_model": inner,
        "upper_level_model": outer,
        "lower_level_var": list(inner.parameters()),
        "upper_level_var": list(outer.parameters()),
        "lower_level_opt": torch.optim.SGD(inner.parameters(), lr=0.01),
        "upper_level_opt": torch.optim.SGD(outer.parameters(), lr=0.01),
    }
    names = {f"{level}_level_loss": {"function": f"{__name__}.{level}"} for level in ("lower", "upper")}
    boat = boat_torch.Problem(config, names)
    boat.build_ll_solver()
    boat.build_ul_solver()
    (gradient,), _ = boat.run_iter({"view": view}, {"view": view}, current_iter=0)
    return gradient.numpy()


def default(problem: Any, lam: ndarray) -> ndarray:
    """What its L2 example's configuration says: one step, differentiated."""
    return hypergradient(problem, lam, "RAD", 10)


def cg(problem: Any, lam: ndarray) -> ndarray:
    """The same configuration's conjugate gradient."""
    return hypergradient(problem, lam, "CG", 10)


def best(problem: Any, lam: ndarray) -> ndarray:
    """... for as long as it takes to its tolerance."""
    return hypergradient(problem, lam, "CG", 1000)


SETTINGS = {
    "its L2 example: NGD, RAD, 1 step of SGD(lr=0.01)": default,
    "NGD, CG(k=10, tolerance=1e-10)": cg,
    "NGD, CG(k=1000, tolerance=1e-10)": best,
}
