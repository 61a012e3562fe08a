"""A model seen to run, before anything moves: where the batch is, which rates are read, what can be followed."""

from collections.abc import Callable, Collection
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from deep.hyper.hyperparameters import Pass
from deep.hyper.parallel import gathered
from deep.rates.find import holders, look_at
from deep.responses.contexts import frozen_statistics
from deep.responses.forward import RATE_RULES
from deep.responses.linearised import dual_level, without_forward_mode
from deep.responses.look import OF_BATCH
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
    while True:  # where a parameter is left out, other operations are on what responds
        _see(net, predict, x, n)
        _require_gradients(net)
        refused = gathered(_refused(net, predict, x, n, kinds))
        for reasons in refused:
            net.silent |= reasons
        if not any(refused):
            break
    net.looked = True


def _see(net: Hypernetwork, predict: Predict, x: Any, n: int) -> None:
    """Find where the batch is, and which rates are read."""
    named = {id(w): name for name, w, _ in net}
    tensors = [*net.model.parameters(), *net.model.buffers()]

    def first(rows: int) -> None:
        def cut(leaf: Any) -> Any:
            if not (isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == n):
                return leaf
            part = leaf[:rows]
            setattr(part, OF_BATCH, True)
            return part

        with net.passes(), net.hyper.during(net.hyper.centre(rows)), torch.enable_grad(), eager():
            predict(tree_map(cut, x))

    with net.draws.repeated():
        net.layouts, read = look_at(net.model, first, n, named, tensors, net.rates)
    _settle_rates(net, read)
    every = holders(net.model, everything=True)
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
    net.hyper.share((shared | net.layouts.unclear.keys()) & presumed)


def _require_gradients(net: Hypernetwork) -> None:
    for name in net.names:
        if name in net.layouts.seen and name not in net.layouts.with_gradient:
            problem = f"parameter {name!r} is used without a graph and would never train"
            where = "a reentrant checkpoint or an autograd.Function does that"
            raise UserError(f"{problem}: {where}; write it out in plain operations, or freeze the parameter")


def _refused(net: Hypernetwork, predict: Predict, x: Any, n: int, kinds: Collection[str]) -> dict[str, str]:
    """Parameters that passes of these kinds cannot follow, and why: they keep Θ = 0.

    Raises:
        UserError: the model has no forward derivative, and a pass wants it.
    """
    unclear = {name: net.layouts.unclear[name] for name, _, _ in net if name in net.layouts.unclear}
    if unclear or n == 1 or not kinds:
        return unclear if kinds else {}
    lam = net.hyper.lam.detach().expand(n, -1)
    net.looking = True  # each process by itself
    try:
        with net.draws.repeated(), frozen_statistics(net.model), torch.no_grad():
            for kind in kinds:
                level = dual_level() if kind == "linearised" else nullcontext()
                with net.through(Pass(lam, torch.zeros_like(lam), n, kind)), level:
                    predict(x)
    except NoRule as error:
        return {error.root: error.reason}
    except NotImplementedError as error:
        raise without_forward_mode(error) from error
    finally:
        net.looking = False
    return {}
