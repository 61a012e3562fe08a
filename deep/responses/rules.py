"""Eqn. 3.14 and E.1, operation by operation: y + s ⊙ op(x, W_response), and what reaches a weight before its operation.

operation                               how
linear, matmul, addmm, convolutions     rows on W's outputs scale the result, rows on its inputs scale x
embedding                               a row is a coordinate: y + s ⊙ lookup(i, W_response)
add, sub, mul, div, where, prelu, ...   each example's own weights, beside its tensor
t, chunk, view, a slice, times a mask   the same of w and of W_response
weight norm                             g v/‖v‖ by rows: a_i v + b_i W_response, two terms
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deep.responses.call import Call, beside, value_of
from deep.responses.forward import RULES
from deep.responses.recurrent import RECURRENT
from deep.responses.weights import Rows, Weight


def linear(call: Call, x: Any, weight: Any, bias: Any = None) -> Any:
    """x Wᵀ + b."""
    return call.affine(F.linear, x, weight, bias, out=0, into=1, axis=-1, broadcasts=True)


def matmul(call: Call, x: Any, weight: Any) -> Any:
    """x W."""
    if isinstance(x, Weight) or value_of(weight).ndim != 2 or x.ndim < 2:
        return NotImplemented
    return call.affine(lambda x, w, _: x @ w, x, weight, None, out=1, into=0, axis=-1, broadcasts=True)


def addmm(call: Call, bias: Any, x: Any, weight: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """b + x W, as transformers' Conv1D has it."""
    if (beta, alpha) != (1, 1) or value_of(bias).ndim != 1 or isinstance(x, Weight):
        return NotImplemented

    def product(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        return x @ w if b is None else torch.addmm(b, x, w)

    return call.affine(product, x, weight, bias, out=1, into=0, axis=-1)


def convolution(outputs: int, call: Call, x: Any, weight: Any, bias: Any = None, *args: Any, **kwargs: Any) -> Any:
    """E.1: a filter is a row; `outputs` is the weight's axis of them, 1 of a transposed convolution."""
    dims = value_of(weight).ndim - 2
    groups = kwargs.get("groups", args[3] if len(args) > 3 else 1)
    # Of several groups a transposed weight's second axis has the outputs of one.
    if value_of(x).ndim != dims + 2 or (outputs and groups > 1 and isinstance(weight, Weight)):
        return NotImplemented

    def product(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        return call.func(x, w, b, *args, **kwargs)

    into = 1 - outputs if groups == 1 else None
    return call.affine(product, x, weight, bias, out=outputs, into=into, axis=-1 - dims)


def embedding(call: Call, indices: Any, weight: Any, padding_idx: int | None = None, *args: Any, **kwargs: Any) -> Any:
    """Eqn. 3.14 for a dense layer on one-hot rows."""
    max_norm = kwargs.get("max_norm", args[0] if args else None)
    if max_norm is not None or isinstance(indices, Weight):
        return NotImplemented

    def product(i: Tensor, w: Tensor, _: Any) -> Tensor:
        return F.embedding(i, w, padding_idx)

    return call.affine(product, indices, weight, None, out=1, into=None, axis=-1, extra=1, broadcasts=True)


def embedding_bag(
    call: Call,
    indices: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float | int = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Sums or means of rows of an embedding, a bag an example."""
    if isinstance(indices, Weight) or offsets is not None or max_norm is not None or mode == "max":
        return NotImplemented

    def product(i: Tensor, w: Tensor, _: Any) -> Tensor:
        return F.embedding_bag(i, w, None, None, norm_type, scale_grad_by_freq, mode, sparse, *args, **kwargs)

    return call.affine(product, indices, weight, None, out=1, into=None, axis=-1)


def elementwise(call: Call, *args: Any, **kwargs: Any) -> Any:
    """An operation on tensors that broadcast; a mask or a divisor that all examples share leaves the rows in place."""
    if call.func in IN_PLACE and isinstance(args[0], Weight) and isinstance(args[0].value, nn.Parameter):
        raise TypeError("a parameter is changed in place")
    if (rows := _masked(call, *args)) is not NotImplemented:
        return rows
    ndim = max(value_of(arg).ndim for arg in args if isinstance(value_of(arg), Tensor))
    return call.elementwise(ndim)


def prelu(call: Call, x: Any, weight: Any) -> Any:
    """x, or a x where x is negative, with a of each channel or of all."""
    if isinstance(x, Weight) or call.place is None or not isinstance(weight, Weight):
        return NotImplemented
    a = call.spread(weight.written_out(), min(1, x.ndim - 1), x.ndim, call.place)
    return torch.where(x > 0, x, a.to(x.dtype) * x)


def _masked(call: Call, *args: Any) -> Any:
    """A weight times, or by, what is no weight and has no batch."""
    weights = [arg for arg in args if isinstance(arg, Weight)]
    linear = call.func in PRODUCTS or (call.func in QUOTIENTS and isinstance(args[0], Weight))
    if not linear or len(weights) != 1 or weights[0].rows is None or any(call.use.tensors):
        return NotImplemented
    weight, rows = weights[0], weights[0].rows
    value = call.func(*map(value_of, args))
    if value.shape != weight.value.shape:
        return NotImplemented
    terms = [(s, call.func(*(R if arg is weight else arg for arg in args))) for s, R in rows.terms]
    return Weight(weight.root, value, call.kind, Rows(terms, rows.axis))


def view(call: Call, *args: Any, **kwargs: Any) -> Any:
    """An operation that only moves numbers: rows are followed by moving their indices in the same way."""
    weights = [arg for arg in args if isinstance(arg, Weight)]
    if len(weights) != 1 or weights[0] is not args[0] or any(call.use.results) or weights[0].rows is None:
        return NotImplemented
    (weight, *others), rows = args, weights[0].rows
    shape = weight.value.shape
    indices = beside(torch.arange(shape[rows.axis], device=weight.value.device), rows.axis, len(shape)).expand(shape)
    values, moved = call.func(weight.value, *others, **kwargs), call.func(indices, *others, **kwargs)
    terms = [(s, call.func(R, *others, **kwargs)) for s, R in rows.terms]
    several = isinstance(values, (tuple, list))
    parts = [
        _part(call, weight, value, index, [(s, R[k] if several else R) for s, R in terms])
        for k, (value, index) in enumerate(
            zip(values if several else [values], moved if several else [moved], strict=True)
        )
    ]
    return NotImplemented if any(part is None for part in parts) else type(values)(parts) if several else parts[0]


def _part(call: Call, weight: Weight, value: Tensor, index: Tensor, terms: list[Any]) -> Weight | None:
    """A view's rows, where they lie along one axis of it still."""
    for axis in range(value.ndim):
        rows = index.movedim(axis, 0).reshape(value.shape[axis], -1)
        if bool((rows == rows[:, :1]).all()):
            return Weight(weight.root, value, call.kind, Rows([(s[:, rows[:, 0]], R) for s, R in terms], axis))
    return None


def detach(call: Call, weight: Any) -> Any:
    """Each example's own numbers as constants; at w0 where the response is in their derivative alone."""
    value = call.func(weight.value)
    if call.kind != "weights":
        return value
    if weight.rows is None:
        return Weight(weight.root, value, call.kind, lifted=weight.written_out().detach())
    terms = [(s.detach(), R.detach()) for s, R in weight.rows.terms]
    return Weight(weight.root, value, call.kind, Rows(terms, weight.rows.axis))


def weight_norm(call: Call, v: Any, g: Any, dim: int = 0) -> Any:
    """g v/‖v‖ row by row, W_i = a_i v + b_i R, where ‖v + s R‖ is a number for each row.

    Of first order: da = dg/‖v‖ - g s ⟨v, R⟩/‖v‖³ and db = g s/‖v‖.
    """
    if (
        not isinstance(v, Weight)
        or v.rows is None
        or v.rows.axis != dim
        or len(v.rows.terms) != 1
        or any(call.use.tensors)
    ):
        return NotImplemented
    ((s, R),) = v.rows.terms
    first_order = call.kind != "weights"
    w, g0 = (v.value.detach(), value_of(g).detach()) if call.kind == "differential" else (v.value, value_of(g))

    def of_rows(x: Tensor) -> Tensor:
        return x.movedim(dim, 0).flatten(1).sum(1)

    vv, vr, rr = of_rows(w * w), of_rows(w * R), of_rows(R * R)
    g0 = g0.reshape(-1)
    dg = g.rows.changes().flatten(1) if isinstance(g, Weight) and g.rows is not None else torch.zeros_like(s)
    norm = vv.sqrt()
    if first_order:
        a, b = dg / norm - g0 * s * vr / norm**3, g0 * s / norm
    else:
        scale = (g0 + dg) / (vv + 2 * s * vr + s * s * rr).sqrt()
        a, b = scale - g0 / norm, scale * s
    return Weight(v.root, call.func(v.value, value_of(g), dim), call.kind, Rows([(a, w), (b, R)], dim))


def packed(call: Call, *_args: Any) -> Any:
    """A recurrent layer that was not written out."""
    raise TypeError("packed sequences; pad them instead")


def _operations(names: str) -> frozenset[Any]:
    """These functions of torch, and methods of tensors."""
    holders = [(holder, name) for name in names.split() for holder in (torch, torch.Tensor)]
    return frozenset(getattr(holder, name) for holder, name in holders if hasattr(holder, name))


PRODUCTS = _operations("mul multiply __mul__ __rmul__")
QUOTIENTS = _operations("div divide true_divide __truediv__")
IN_PLACE = _operations("add_ sub_ mul_ div_ __iadd__ __isub__ __imul__ __itruediv__")
SUMS = _operations("add sub subtract rsub __add__ __radd__ __sub__ __rsub__ where maximum minimum pow addcmul lerp")
VIEWS = _operations(
    "t transpose swapaxes permute movedim chunk split tensor_split unbind narrow select view reshape flatten unflatten "
    "squeeze unsqueeze contiguous clone view_as reshape_as __getitem__"
) | {getattr(torch.Tensor, name).__get__ for name in ("T", "mT", "H", "mH")}  # type: ignore[attr-defined]

RULES |= {
    F.linear: linear,
    **dict.fromkeys(_operations("matmul mm __matmul__"), matmul),
    **dict.fromkeys(_operations("addmm"), addmm),
    **dict.fromkeys((torch.conv1d, torch.conv2d, torch.conv3d), partial(convolution, 0)),
    **dict.fromkeys((torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d), partial(convolution, 1)),
    F.embedding: embedding,
    F.embedding_bag: embedding_bag,
    F.prelu: prelu,
    **dict.fromkeys(PRODUCTS | QUOTIENTS | IN_PLACE | SUMS, elementwise),
    **dict.fromkeys(VIEWS, view),
    torch.Tensor.detach: detach,
    torch.detach: detach,
    torch.Tensor.data.__get__: detach,  # type: ignore[attr-defined]
    torch._weight_norm: weight_norm,  # type: ignore[attr-defined]
    **dict.fromkeys(RECURRENT, packed),
}
