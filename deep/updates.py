"""Algorithms 1 and 2 on a PyTorch model: `reference/updates.py`, line beside line.

    name          symbol       shape
    z             ε/σ          (n, h), (1, h)     standard normal, drawn by the caller
    c             ε or λ + ε   the same           what the response multiplies
    w0, Theta     w0, Θ        lists of parameters

Nothing is stepped here: each function returns gradients of one objective in some parameters, and leaves no trace in
the others. The inner gradients see a mini-batch of the training loss; the outer ones see the validation loss.
"""

import re
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.autograd.forward_ad as forward_ad
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from deep.contexts import evaluating, frozen, frozen_statistics
from deep.hypernet import Hypernetwork
from deep.hyperparameters import Pass
from reference.command import UserError
from reference.updates import Method


@dataclass(frozen=True)
class Objective:
    """A loss in the two parts that the linearisation needs apart.

    Args:
        predict: from inputs to outputs, through the model: a tensor, or a tuple, list or dict of tensors.
        loss: from outputs and targets to a mean over examples; it sees weights through the outputs alone, and may
            read hyperparameters and `Hypernetwork.squared_norm`.
        autocast: a context for both, for lower precision.
    """

    predict: Callable[[Any], Any]
    loss: Callable[[Any, Any], Tensor]
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext


class Evaluation(NamedTuple):
    """The loss and the outputs of one pass, and its gradients in the parameters that were asked for.

    Of several processes each has its own rows' loss, and a term of the gradients: all of them are to be added.
    """

    loss: Float[Tensor, ""]
    outputs: Any
    gradients: list[Tensor]


def perturbed(method: Method, net: Hypernetwork, z: Float[Tensor, "_ h"], n: int) -> Pass:
    """λ + ε and c = ε (Eqn. 3.1) or λ + ε (Eqn. 2.6) at ε = σz, as functions of λ and σ.

    Centred, c = λ + ε - λ0 at λ0 = λ: its value is ε, and its gradient in λ is Θᵀ's.
    """
    hyper = net.hyper
    lam = hyper.lam + hyper.sigma * z
    c = lam - hyper.lam.detach() if method.centred else lam
    return Pass(lam, c, n)


def w0_gradient(
    net: Hypernetwork, objective: Objective, x: Any, t: Any, n: int, z: Float[Tensor, "_ h"] | None = None
) -> Evaluation:
    """Eqn. 3.9: ∇_w0 L_T(λ, w0): a plain step's gradient, without the response.

    Args:
        z: where given, L_T(λ + σz, w0) instead: perturbed hyperparameters and nothing that responds (table 4's noise).
    """
    hyper = net.hyper
    at = hyper.centre(n) if z is None else Pass((hyper.lam + hyper.sigma * z).detach(), None, n)
    loss, outputs = evaluate(net, objective, x, t, at)
    return Evaluation(loss.detach(), outputs, _gradients(net, loss, net.w0))


def response_gradient(
    method: Method, net: Hypernetwork, objective: Objective, z: Float[Tensor, "_ h"], x: Any, t: Any, n: int
) -> Evaluation:
    """Eqn. 3.10: ∇_Θ L_T(λ + ε, w0 + Θε), or of the network linearised at w0 (Eqn. 3.13); nothing else is computed."""
    with frozen(net.w0), frozen_statistics(net.model):
        at = _constant(perturbed(method, net, z, n), method.linearised)
        loss, outputs = evaluate(net, objective, x, t, at)
        try:
            return Evaluation(loss.detach(), outputs, _gradients(net, loss, net.Theta))
        except RuntimeError as error:
            # Some tangents, such as glu's, cannot be differentiated in turn.
            if method.linearised and re.match("(the )?derivative for .* is not implemented", str(error)):
                raise _without_forward_mode(error) from error
            raise


def differential_gradient(
    method: Method, net: Hypernetwork, objective: Objective, z: Float[Tensor, "_ h"], x: Any, t: Any, n: int
) -> Evaluation:
    """Eqn. 3.9's gradient in w0, and in Θ that of Σ_i ⟨g0_i, Θε_i⟩, g0_i being example i's part of the first.

    No g0_i is formed: the sum is the differential of L_T(λ, ·) at w0, and w0's own pass has its gradient as well. It
    has mean zero, and at the same w0, z and draws its difference to `response_gradient` vanishes with ε.
    """
    at = _constant(perturbed(method, net, z, n))
    at = replace(at, lam=net.hyper.centre().lam, differential=True)
    loss, outputs = evaluate(net, objective, x, t, at)
    return Evaluation(loss.detach(), outputs, _gradients(net, loss, [*net.w0, *net.Theta]))


def joint_gradient(
    method: Method, net: Hypernetwork, objective: Objective, z: Float[Tensor, "_ h"], x: Any, t: Any, n: int
) -> Evaluation:
    """Eqn. 2.5: ∇ of L_T(λ + ε, w0 + Θc) in w0 and Θ at once, in this order (Alg. 2)."""
    loss, outputs = evaluate(net, objective, x, t, _constant(perturbed(method, net, z, n)))
    return Evaluation(loss.detach(), outputs, _gradients(net, loss, [*net.w0, *net.Theta]))


def outer_gradients(
    method: Method,
    net: Hypernetwork,
    objective: Objective,
    z: Float[Tensor, "_ h"],
    x: Any,
    t: Any,
    n: int,
    tau: float = 0.0,
) -> Evaluation:
    """Eqn. 2.7: ∇ of L_V(λ + ε, w0 + Θc) - τ H[p(ε|σ)] in λ and raw_sigma, the network at the perturbed weights."""
    hyper = net.hyper
    with frozen([*net.w0, *net.Theta]), evaluating(net.model):
        loss, outputs = evaluate(net, objective, x, t, perturbed(method, net, z, n))
        found = _gradients(net, loss - tau * hyper.entropy, [hyper.lam, hyper.raw_sigma])
        return Evaluation(loss.detach(), outputs, found)


def evaluate(net: Hypernetwork, objective: Objective, x: Any, t: Any, at: Pass) -> tuple[Tensor, Any]:
    """The loss and the outputs at a pass; linearised, the outputs are f(w0) + J_yw Δw (Eqn. 3.13)."""
    with net.hyper.at(at), objective.autocast():
        try:
            outputs, loss = (_linearised if at.linearised else _at_weights)(objective, x, t)
        except ValueError as error:
            if "more than 1 value per channel" in str(error):
                raise alone() from error
            raise
    if not isinstance(loss, Tensor) or loss.ndim:
        what = f"of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        raise UserError(f"the loss is {what}, not one number; return a tensor, the mean over examples (penalties too)")
    return loss, tree_map(_without_graph, outputs)


def _at_weights(objective: Objective, x: Any, t: Any) -> tuple[Any, Any]:
    outputs = objective.predict(x)
    return outputs, objective.loss(outputs, t)


def _linearised(objective: Objective, x: Any, t: Any) -> tuple[Any, Any]:
    _load_forward_mode()
    with forward_ad.dual_level():
        try:
            outputs = objective.predict(x)
        except NotImplementedError as error:
            raise _without_forward_mode(error) from error
        if not any(
            isinstance(y, Tensor) and forward_ad.unpack_dual(y).tangent is not None for y in tree_leaves(outputs)
        ):
            what = "no output follows the response: either no layer with a response is on the way to it"
            raise UserError(f"{what}, or the outputs are not tensors in tuples, lists and dicts")
        outputs = tree_map(_first_order, outputs)
        loss = objective.loss(outputs, t)
        # Within the level still: a tangent is what has reached the loss past the outputs, and would be lost.
        if isinstance(loss, Tensor) and forward_ad.unpack_dual(loss).tangent is not None:
            what = "the loss sees the network otherwise than through its outputs (kept activations, a call of its own)"
            raise UserError(f"{what}; let the model return what the loss needs, in a tuple, list or dict of tensors")
    return outputs, loss


@cache
def _load_forward_mode() -> None:
    """The first dual number makes torch load its rules for them, and warn of its own use of torch.jit.script."""
    with warnings.catch_warnings(action="ignore"), forward_ad.dual_level():
        forward_ad.make_dual(torch.zeros(()), torch.zeros(()))


def _without_forward_mode(error: RuntimeError) -> UserError:
    what = f"the model has no forward-mode derivative ({str(error).split('.')[0][:120]})"
    return UserError(f"{what}; replace the function, or choose a method without linearisation")


def alone() -> UserError:
    """Why a batch of one is refused."""
    what = "a BatchNorm in training has no statistics of a single example"
    return UserError(f"{what}; choose a batch size that leaves no batch of one, or leave the last example out")


def _first_order(y: Any) -> Any:
    if not isinstance(y, Tensor):
        return y
    primal, tangent = forward_ad.unpack_dual(y)
    return primal if tangent is None else primal + tangent


def _without_graph(y: Any) -> Any:
    return y.detach() if isinstance(y, Tensor) else y


def _constant(one: Pass, linearised: bool = False) -> Pass:
    c = None if one.c is None else one.c.detach()
    return Pass(one.lam.detach(), c, one.n, linearised)


def _gradients(net: Hypernetwork, loss: Tensor, parameters: list[Any]) -> list[Tensor]:
    """∂loss/∂parameters; zeros where the loss does not depend on one.

    With several processes the loss is L = Σ_r w_r L_r, w_r being the rows' share, and this is a term's gradient.
    """
    share = net.draws.share
    weight = loss.new_tensor(share.weight()) if share.counts else None
    with net.hyper.closed():
        found = torch.autograd.grad(loss, parameters, weight, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
