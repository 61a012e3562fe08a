"""Algorithms 1 and 2 on a PyTorch model: `reference/rule/updates.py`, line beside line.

    name          symbol       shape
    z             ε/σ          (n, h), (1, h)     standard normal, drawn by the caller
    c             ε or λ + ε   the same           what the response multiplies
    w0, Theta     w0, Θ        lists of parameters

Nothing is stepped here: each function returns gradients of one objective, and leaves no trace in other parameters. The
inner gradients see a mini-batch of the training loss; the outer ones see the validation loss.

An inner step is a sequence of updates (`updates`); what an update's passes find is added before anything moves:

    method              first update                                   second
    plain               w0: L_T(λ, w0)
    STN, Reparam STN    w0 and Θ: L_T(λ + ε, w0 + Θc)     (Eqn. 2.5)
    Centered, Δ-STN     w0: L_T(λ, w0)                    (Eqn. 3.9)   Θ: L_T(λ + ε, w0 + Θε) (Eqn. 3.10), of Δ-STN
    control variate     both, less Θ's Σ_i ⟨g0_i, Θε_i⟩                of the network linearised at w0 (Eqn. 3.13)
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.autograd.forward_ad as forward_ad
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from deep.hyper.hyperparameters import Pass
from deep.responses.composite import inside
from deep.responses.contexts import evaluating, frozen, frozen_statistics
from deep.responses.linearised import dual_level, without_forward_mode
from deep.responses.weights import first_order
from deep.tuner.hypernet import Hypernetwork
from reference.beyond.control_variate.updates import extended
from reference.console.command import UserError
from reference.rule.updates import Method


@dataclass(frozen=True)
class Objective:
    """A loss in the two parts that the linearisation needs apart.

    Args:
        predict: from inputs to outputs, through the model: a tensor, or a tuple, list or dict of tensors.
        loss: from outputs and targets to a mean over examples; it sees weights through the outputs alone, and may
            read hyperparameters and `Hypernetwork.squared_norm`.
        autocast: a context for both, for lower precision.
        penalty: what Θ's loss has more than w0's: the decay that w0's optimizer adds by itself.
    """

    predict: Callable[[Any], Any]
    loss: Callable[[Any, Any], Tensor]
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    penalty: Callable[[], Tensor] | None = None


class Evaluation(NamedTuple):
    """The loss and the outputs of one pass, and its gradients in the parameters that were asked for.

    Of several processes each has its own rows' loss, and a term of the gradients: all of them are to be added.
    """

    loss: Float[Tensor, ""]
    outputs: Any
    gradients: list[Tensor]


class UpdatePass(NamedTuple):
    """One pass of an update: what the network is, and whose gradients are taken.

    Args:
        kind: "plain" for (λ, w0), "noise" for (λ + ε, w0), else a pass's own: "weights", "linearised", "differential".
        of: "w0", "Theta" or both.
        sign: of Θ's gradient.
    """

    kind: str
    of: tuple[str, ...]
    sign: float = 1.0


def updates(method: Method | None, noise: bool = False) -> tuple[tuple[UpdatePass, ...], ...]:
    """The updates of an inner step, in order (Alg. 1, Alg. 2)."""
    if method is None:
        return ((UpdatePass("noise" if noise else "plain", ("w0",)),),)
    if not method.unperturbed:
        return ((UpdatePass("weights", ("w0", "Theta")),),)
    theta = UpdatePass("linearised" if method.linearised else "weights", ("Theta",))
    if extended(method).control_variate:
        return ((UpdatePass("differential", ("w0", "Theta"), sign=-1.0), theta),)
    return ((UpdatePass("plain", ("w0",)),), (theta,))


def perturbed(method: Method, net: Hypernetwork, z: Float[Tensor, "_ h"], n: int, kind: str = "weights") -> Pass:
    """λ + ε and c = ε (Eqn. 3.1) or λ + ε (Eqn. 2.6) at ε = σz, as functions of λ and σ.

    Centred, c = λ + ε - λ0 at λ0 = λ: its value is ε, and its gradient in λ is Θᵀ's.
    """
    hyper = net.hyper
    lam = hyper.lam + hyper.sigma * z
    c = lam - hyper.lam.detach() if method.centred else lam
    return Pass(lam, c, n, kind)


def pass_of(plan: UpdatePass, method: Method | None, net: Hypernetwork, z: Float[Tensor, "_ h"] | None, n: int) -> Pass:
    """The pass of an inner step, constant in λ and σ."""
    hyper = net.hyper
    if z is None or plan.kind == "plain":
        return hyper.centre(n)
    if method is None:
        return Pass((hyper.lam + hyper.sigma * z).detach(), None, n)
    now = perturbed(method, net, z, n, plan.kind)
    lam = hyper.centre().lam if plan.kind == "differential" else now.lam.detach()
    assert now.c is not None
    return Pass(lam, now.c.detach(), n, plan.kind)


def gradients(
    plan: UpdatePass,
    method: Method | None,
    net: Hypernetwork,
    objective: Objective,
    z: Tensor | None,
    x: Any,
    t: Any,
    n: int,
) -> Evaluation:
    """One pass's gradients, in the order of `plan.of`; nothing else is computed.

    A pass for Θ alone leaves running statistics as they are. A differential pass has Eqn. 3.9's gradient in w0, and in
    Θ that of Σ_i ⟨g0_i, Θε_i⟩, g0_i being example i's part of the first. No g0_i is formed: the sum is the differential
    of L_T(λ, ·) at w0. It has mean zero, and at the same w0, z and draws its difference to Θ's own gradient vanishes
    with ε.
    """
    parameters = [parameter for name in plan.of for parameter in getattr(net, name)]
    with ExitStack() as still:
        if plan.of == ("Theta",):
            still.enter_context(frozen(net.w0))
            still.enter_context(frozen_statistics(net.model))
        now = pass_of(plan, method, net, z, n)
        loss, outputs = evaluate(net, objective, x, t, now)
        if objective.penalty is not None and "Theta" in plan.of:
            with net.hyper.during(now):
                loss = loss + objective.penalty()
        try:
            return Evaluation(loss.detach(), outputs, _gradients(net, loss, parameters))
        except RuntimeError as error:
            # Some tangents cannot be differentiated in turn.
            if plan.kind == "linearised" and re.match("(the )?derivative for .* is not implemented", str(error)):
                raise without_forward_mode(error) from error
            raise


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
        terms = _gradients(net, loss - tau * hyper.entropy, [hyper.lam, hyper.raw_sigma])
        return Evaluation(loss.detach(), outputs, terms)


def evaluate(net: Hypernetwork, objective: Objective, x: Any, t: Any, now: Pass) -> tuple[Tensor, Any]:
    """The loss and the outputs at a pass; linearised, the outputs are f(w0) + J_yw Δw (Eqn. 3.13)."""
    linearised = now.kind == "linearised"
    with net.through(now) as forward, objective.autocast(), dual_level() if linearised else nullcontext():
        try:
            outputs = objective.predict(x)
        except ValueError as error:
            if "more than 1 value per channel" in str(error):
                raise alone() from error
            raise
        except NotImplementedError as error:
            if linearised:
                raise without_forward_mode(error) from error
            raise
        dual = outputs
        if linearised:
            _require_tangent(outputs)
            outputs = tree_map(first_order, outputs)
        if forward is not None:
            forward.enter_loss()
        loss = objective.loss(outputs, t)
        loss = loss if forward is None else forward.mean_of(loss)
        _require_loss(loss)
        if linearised and any(
            loss is y and y is not d for y, d in zip(*map(tree_leaves, (outputs, dual)), strict=True)
        ):
            problem = "the model computes its loss out of operations through which it would be linearised"
            raise UserError(
                f"{problem}; let it call a loss of torch.nn.functional, or return logits for the train_loss"
            )
    return loss, tree_map(lambda y: y.detach() if isinstance(y, Tensor) else y, outputs)


def _require_tangent(outputs: Any) -> None:
    if all(_tangent(y) is None for y in tree_leaves(outputs)):
        problem = "no output follows the response: either no weight that responds is on the way to it"
        raise UserError(f"{problem}, or the outputs are not tensors in tuples, lists and dicts")


def _require_loss(loss: Any) -> None:
    if not isinstance(loss, Tensor) or loss.ndim:
        kind = f"of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        raise UserError(f"the loss is {kind}, not one number; return a tensor, the mean over examples (penalties too)")
    # Within the level still: a tangent is what has reached the loss past the outputs, and would be lost.
    if _tangent(loss) is not None:
        problem = "the loss sees the network otherwise than through its outputs (kept activations, a call of its own)"
        raise UserError(f"{problem}; let the model return what the loss needs, in a tuple, list or dict of tensors")


def _tangent(y: Any) -> Tensor | None:
    return forward_ad.unpack_dual(y).tangent if isinstance(y, Tensor) else None


def alone() -> UserError:
    """Why a batch of one is refused."""
    problem = "a BatchNorm in training has no statistics of a single example"
    return UserError(f"{problem}; choose a batch size that leaves no batch of one, or leave the last example out")


class _Closed(TorchFunctionMode):
    """While gradients are taken no operation may see a weight again: its response is gone."""

    def __init__(self, w0: list[nn.Parameter]) -> None:
        super().__init__()
        self.w0 = {id(parameter) for parameter in w0}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(id(leaf) in self.w0 for leaf in tree_leaves((args, kwargs))):
            problem = "a layer was called again while gradients were taken, when the draws of its pass were gone"
            raise UserError(f"{problem}; use the model without activation checkpointing (torch.utils.checkpoint)")
        return func(*args, **(kwargs or {}))


def _gradients(net: Hypernetwork, loss: Tensor, parameters: list[Any]) -> list[Tensor]:
    """∂loss/∂parameters; zeros where the loss does not depend on one.

    With several processes the loss is L = Σ_r w_r L_r, w_r being the rows' share, and this is a term's gradient.
    """
    share = net.draws.share
    weight = loss.new_tensor(share.weight()) if share.counts else None
    with net.passes(), _Closed(net.w0) if net.followed else nullcontext():
        terms = inside(torch.autograd.grad)(loss, parameters, weight, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, terms, strict=True)]
