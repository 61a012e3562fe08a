"""A model seen to run, before anything moves: where the batch is, which rates are read, what can be followed."""

from collections.abc import Callable, Collection
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from deep.hyper.hyperparameters import Pass
from deep.hyper.parallel import gathered
from deep.rates.find import holders
from deep.rates.marks import Mark, marked
from deep.responses.contexts import frozen_statistics
from deep.responses.forward import RATE_RULES
from deep.responses.linearised import dual_level
from deep.responses.look import look
from deep.responses.weights import NoRule
from deep.tuner.hypernet import Hypernetwork, eager
from reference.console.command import UserError

Predict = Callable[[Any], object]


def first_look(net: Hypernetwork, predict: Predict, x: Any, n: int, kinds: Collection[str]) -> None:
    """Look at a model of n examples x, and settle what responds and which hyperparameters stay.

    Args:
        predict: from inputs to outputs.
        kinds: of passes that will be made with an ε for each example.

    Raises:
        UserError: a drop rate is declared that nothing reads, or a parameter is used without a gradient alone.
    """
    _see(net, predict, x, n)
    _require_gradients(net)
    if kinds:
        responding = {name for name, _, _ in net}
        net.silent |= {name: why for name, why in net.layouts.unclear.items() if name in responding}
    net.looking = True  # each process by itself
    try:
        with net.draws.repeated(), frozen_statistics(net.model), torch.no_grad():
            for kind in kinds if n > 1 else ():
                _try(net, kind, predict, x, n)
    finally:
        net.looking = False
    for silent in gathered(net.silent):
        net.silent |= silent
    net.looked = True


def _see(net: Hypernetwork, predict: Predict, x: Any, n: int) -> None:
    """Find where the batch is, and which rates are read."""
    read: set[str] = set()
    every = holders(net.model, everything=True)
    named = {id(w): name for name, w, _ in net}
    tensors = [*net.model.parameters(), *net.model.buffers()]

    def first(rows: int) -> None:
        def cut(leaf: Any) -> Any:
            return leaf[:rows] if isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == n else leaf

        with net.passes(), net.hyper.during(net.hyper.centre(rows)), torch.enable_grad(), eager():
            predict(tree_map(cut, x))

    marks = [Mark(name, holder, holder.value, name in net.rates) for name, holder in every.items()]
    with net.draws.repeated(), frozen_statistics(net.model), marked(marks, read.add) as rates:
        net.layouts = look(first, n, named, tensors, rates, holders(net.model))
    _settle_rates(net, read)
    idle = {name: float(holder.value) for name, holder in every.items() if name in read and name not in net.rates}
    net.idle_rates = idle | net.layouts.numbers


def _settle_rates(net: Hypernetwork, read: set[str]) -> None:
    """Withdraw presumed rates that nothing reads, and let those of a common mask have one ε for the batch."""
    unread = [name for name in net.rates if name not in read]
    presumed = {declared.name for declared in net.hyper.declared if declared.presumed}
    if declared := [name for name in unread if name not in presumed]:
        problem = f"the drop rate {declared[0]!r} is declared, and no operation of the first pass has read it"
        raise UserError(f"{problem}; do not declare it, or let the module give it to a dropout itself")
    net.withdraw(unread)
    shared = {key[0] for key, use in net.layouts.uses.items() if key[1] in RATE_RULES and not any(use.tensors)}
    net.hyper.share(shared & presumed)


def _require_gradients(net: Hypernetwork) -> None:
    for name in net.names:
        if name in net.layouts.seen and name not in net.layouts.with_gradient:
            problem = (
                f"parameter {name!r} is used without a graph, as under a reentrant checkpoint, and would never train"
            )
            raise UserError(f"{problem}; train without activation checkpointing, or freeze it")


def _try(net: Hypernetwork, kind: str, predict: Predict, x: Any, n: int) -> None:
    """Make one pass of this kind; a parameter that it cannot follow keeps Θ = 0."""
    lam = net.hyper.lam.detach().expand(n, -1)
    while True:
        try:
            level = dual_level() if kind == "linearised" else nullcontext()
            with net.through(Pass(lam, torch.zeros_like(lam), n, kind)), level:
                predict(x)
            return
        except NoRule as error:
            if error.root in net.silent:
                raise
            net.silent[error.root] = error.reason
