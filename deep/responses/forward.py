"""One pass through a model: each operation on a weight that responds, or on a drop rate, by its rule.

    kind           what an operation sees in place of w
    weights        w + Δw                                    (Eqns. 2.6, 3.1)
    linearised     w, with Δw in the tangent                 (Eqn. 3.13)
    differential   w, with the derivative of w + Δw          (the control variate)

With one ε for the batch that is the whole mechanism: an operation gets w + Δw itself. With an ε for each example an
operation has a rule that never writes w_i out, or is done example by example (`torch.vmap`), which is exact and slow.

A rule is a function of the pass and of the operation's own arguments, in which a weight that responds is a `Weight`. It
returns the operation's result, or NotImplemented for the general way.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from deep.hyper.draws import Draws
from deep.rates.marks import Rate
from deep.responses.composite import WRITTEN_OUT, hides
from deep.responses.layouts import Layouts, Place, Use
from deep.responses.row_response import RowResponse
from deep.responses.weights import NoRule, Rows, Weight, differential, first_order, moved
from reference.command import UserError

Rule = Callable[..., Any]
Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]

RULES: dict[Any, Rule] = {}
"""For operations on a weight that responds, with an ε for each example."""

RATE_RULES: dict[Any, Rule] = {}
"""For operations that a drop rate reaches."""

LINEARISED: dict[Any, Callable[..., Any]] = {}
"""For operations of a linearised pass that PyTorch cannot differentiate forwards, or whose tangents not backwards."""

IN_PROCESSES: dict[Any, Callable[..., Any]] = {}
"""For operations that see all rows of a batch, where several processes share it."""

ABOUT = frozenset(
    [
        "size",
        "dim",
        "ndimension",
        "numel",
        "nelement",
        "stride",
        "is_floating_point",
        "is_complex",
        "is_contiguous",
        "type",
        "get_device",
        "element_size",
        "data_ptr",
        "__len__",
        "__hash__",
        "__repr__",
        "__format__",
        "detach",
        "detach_",
        "item",
        "tolist",
        "__bool__",
        "requires_grad_",
        "register_hook",
        "new_zeros",
        "new_ones",
        "new_empty",
        "new_full",
        "new_tensor",
        "zeros_like",
        "ones_like",
        "empty_like",
        "full_like",
        "rand_like",
        "randn_like",
        "_unpack_dual",
    ]
)
"""Operations that read no numbers of a tensor, or that make plain numbers of them."""

LIKE = frozenset(["to", "type_as", "expand_as", "view_as", "reshape_as"])
"""Of these only the first tensor's numbers are used."""


def register(operation: Any, rule: Rule) -> None:
    """Follow this operation by this rule from now on."""
    RULES[operation] = rule


class Forward(TorchFunctionMode):
    """One pass.

    Args:
        kind: what an operation sees.
        responses: by the identity of their parameters, with the parameters' names.
        c: what the responses multiply.
        n: examples.
        layouts: where the batch is.
        rate: from a drop rate's name to its value, () or (n,).
        draws: of masks.
        together: other processes are on their rows of the batch too.
    """

    def __init__(
        self,
        kind: str,
        responses: Mapping[int, tuple[str, RowResponse]],
        c: Float[Tensor, "_ h"] | None,
        n: int,
        layouts: Layouts,
        rate: Callable[[str], Tensor],
        draws: Draws,
        together: bool,
    ) -> None:
        super().__init__()
        self.kind, self.c, self.n, self.layouts, self.rate = kind, c, n, layouts, rate
        self.draws, self.together = draws, together
        self.responses = responses if c is not None else {}
        self.linearised_outputs = False
        self.rates: dict[float, Rate] = {}
        self._weights: dict[int, Weight] = {}
        self._dense: dict[int, Tensor] = {}

    def enter_loss(self) -> None:
        """From here on it is the loss that runs: it sees w + Δw, the weights being linear in Δw themselves."""
        self.linearised_outputs = self.kind == "linearised"
        if not self.linearised_outputs:
            return
        self.kind = "weights"
        self._dense.clear()
        for key, weight in self._weights.items():
            lifted = None if weight.rows is not None else first_order(weight.lifted)
            self._weights[key] = replace(weight, kind="weights", lifted=lifted)

    def mean_of(self, loss: Tensor) -> Tensor:
        """The loss; where it is of weights alone, the mean over examples of what each has at its own."""
        weight = self.weight(loss)
        return loss if weight is None else weight.written_out().mean(0)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.rates and (func in RATE_RULES or func in WRITTEN_OUT):
            args, kwargs = tree_map(self._rate_for, (args, kwargs))
        in_args, in_kwargs = self._concerned(args), self._concerned(kwargs.values())
        responds, reads = in_args[0] or in_kwargs[0], in_args[1] or in_kwargs[1]
        if hides(func, args) and self._writes_out(func, responds, reads, args, kwargs):
            with self:
                return WRITTEN_OUT[func](*args, **kwargs)
        if reads:
            return self._with_rates(func, args, kwargs)
        if responds:
            return self._with_weights(func, args, kwargs)
        return self._plain(func, args, kwargs)

    def _rate_for(self, leaf: Any) -> Any:
        """The rate behind a number that a model has made of one."""
        return self.rates.get(leaf, leaf) if type(leaf) is float else leaf

    def _writes_out(self, func: Any, responds: bool, reads: bool, args: Any, kwargs: Any) -> bool:
        """Whether an operation must be seen from inside: for a weight, a rate or a tangent in it, or its own masks."""
        if func is F.multi_head_attention_forward or reads or self.kind == "linearised":
            return True
        if func is F.scaled_dot_product_attention and (kwargs.get("dropout_p") or (len(args) > 4 and args[4])):
            return True  # the control variate's two passes must draw alike
        return responds and self.c is not None and len(self.c) > 1

    def _plain(self, func: Any, args: Any, kwargs: Any) -> Any:
        if self.kind == "linearised" and func in LINEARISED:
            with self:
                return LINEARISED[func](*args, **kwargs)
        if func in IN_PROCESSES and self.together:
            return IN_PROCESSES[func](*args, **kwargs)
        return func(*args, **kwargs)

    def _concerned(self, values: Any) -> tuple[bool, bool]:
        """Whether a weight that responds is among some arguments, and whether a drop rate is."""
        responds = reads = False
        for value in values:
            kind = type(value)
            if kind is Rate:
                reads = True
            elif kind is list or kind is tuple:
                inner = self._concerned(value)
                responds, reads = responds or inner[0], reads or inner[1]
            elif id(value) in self.responses or id(value) in self._weights:
                responds = True
        return responds, reads

    def _with_rates(self, func: Any, args: Any, kwargs: Any) -> Any:
        if getattr(func, "__name__", "").strip("_") in ("lt", "le", "gt", "ge", "eq", "ne"):
            return func(*args, **kwargs)  # a branch, which a rate for each example could not take
        if rule := RATE_RULES.get(func):
            with self:
                return rule(self, *args, **kwargs)
        args, kwargs = tree_map(
            lambda leaf: self._aligned_rate(func, leaf, args) if isinstance(leaf, Rate) else leaf, (args, kwargs)
        )
        with self:
            return func(*args, **kwargs)

    def _aligned_rate(self, func: Any, rate: Rate, args: Any) -> Tensor:
        """p, or 1 - p, beside the tensor of an operation that has no rule of its own for rates."""
        like = next(leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor))
        value = self.rate_beside(func, rate, like)
        return 1 - value if rate.kept else value

    def rate_beside(self, func: Any, rate: Rate, x: Tensor) -> Tensor:
        """p of each example along the batch's axis of an operation's tensor."""
        rate.read()
        value = self.rate(rate.name)
        if not value.ndim:
            return value
        place = self.place_of(func, rate, x)
        if place is None:
            what = f"dropout {rate.name!r} has one mask for all examples"
            raise UserError(f"{what}; declare it with per='batch'")
        return beside(repeated(value, place), place.axis, x.ndim)

    def place_of(self, func: Any, rate: Rate, x: Tensor) -> Place | None:
        """Where the batch is in the tensor of an operation that a rate reaches; None in a weight."""
        tensors = [] if self.weight(x) is not None else [x]
        return next(iter(self.layouts.use(rate.name, func, tensors, self.n).tensors), None)

    def _with_weights(self, func: Any, args: Any, kwargs: Any) -> Any:
        assert self.c is not None
        name = getattr(func, "__name__", "")
        if name in ABOUT or (name in LIKE and not self._concerned(args[:1])[0]):
            return func(*args, **kwargs)
        if name == "__get__" and (func not in RULES or not isinstance(func(*args), Tensor)):
            return func(*args, **kwargs)
        if self.linearised_outputs:
            self._require_penalty(args, kwargs)
        if len(self.c) == 1:
            return self._plain(func, *tree_map(self._dense_for, (args, kwargs)))
        args, kwargs = tree_map(self._weight_for, (args, kwargs))
        root = next(leaf.root for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Weight))
        try:
            result = self._by_rule(root, func, args, kwargs)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise NoRule(root, f"{name}: {str(error).splitlines()[0][:100]}") from error
        return tree_map(self.followed, result)

    def _require_penalty(self, args: Any, kwargs: Any) -> None:
        """The loss of a linearised pass may see functions of the weights alone beside the outputs."""
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor) and leaf.ndim and not self._concerned([leaf])[0]:
                what = (
                    "the loss sees the network otherwise than through its outputs (kept activations, a call of its own)"
                )
                raise UserError(
                    f"{what}; let the model return what the loss needs, in a tuple, list or dict of tensors"
                )

    def _by_rule(self, root: str, func: Any, args: Any, kwargs: Any) -> Any:
        own = self.layouts.own
        others = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and id(x) not in own]
        use = self.layouts.use(root, func, others, self.n)
        call = Call(self, func, root, use, args, kwargs)
        rule = RULES.get(func)
        result = NotImplemented if rule is None else rule(call, *args, **kwargs)
        return call.example_by_example() if result is NotImplemented else result

    def weight(self, leaf: Any) -> Weight | None:
        """What stands for a tensor that responds in this pass; None for any other."""
        if (known := self._weights.get(id(leaf))) is not None:
            return known
        if id(leaf) not in self.responses:
            return None
        name, response = self.responses[id(leaf)]
        assert self.c is not None
        rows = Rows([(response.scales(self.c), response.response)], response.axis)
        self._weights[id(leaf)] = Weight(name, leaf, self.kind, rows)
        return self._weights[id(leaf)]

    def _weight_for(self, leaf: Any) -> Any:
        weight = self.weight(leaf)
        return leaf if weight is None else weight

    def followed(self, leaf: Any) -> Any:
        """A weight's value, known from now on; anything else itself."""
        if not isinstance(leaf, Weight):
            return leaf
        self._weights[id(leaf.value)] = leaf
        return leaf.value

    def _dense_for(self, leaf: Any) -> Any:
        """w + Δw at the batch's one ε, or a dual number."""
        if id(leaf) not in self.responses:
            return leaf
        if id(leaf) not in self._dense:
            response = self.responses[id(leaf)][1]
            assert self.c is not None
            self._dense[id(leaf)] = moved(leaf, response.changes(self.c)[0], self.kind)
        return self._dense[id(leaf)]


def value_of(leaf: Any) -> Any:
    """A weight's value; anything else itself."""
    return leaf.value if isinstance(leaf, Weight) else leaf


def repeated(rows: Float[Tensor, "n ..."], place: Place) -> Tensor:
    """A row for each of an example's rows along the batch's axis."""
    if place.times == 1 or len(rows) == 1:
        return rows
    if place.interleaved:
        return rows.repeat(place.times, *[1] * (rows.ndim - 1))
    return rows.repeat_interleave(place.times, 0)


def beside(values: Shaped[Tensor, "n"], axis: int, ndim: int) -> Tensor:
    """(n,) along an axis of `ndim`."""
    shape = [1] * ndim
    shape[axis] = -1
    return values.reshape(shape)


class Call:
    """One operation's call on a weight, as a rule sees it.

    Args:
        now: the pass.
        func: the operation.
        use: where the batch is in its tensors.
    """

    def __init__(self, now: Forward, func: Any, root: str, use: Use, args: Any, kwargs: Any) -> None:
        self.now, self.func, self.root, self.use, self.args, self.kwargs = now, func, root, use, args, kwargs

    @property
    def kind(self) -> str:
        """The pass's."""
        return self.now.kind

    @property
    def place(self) -> Place | None:
        """Where the batch is in the first result."""
        return self.use.results[0] if self.use.results else None

    def spread(self, scales: Float[Tensor, "n rows"], axis: int, ndim: int, place: Place) -> Tensor:
        """(n, rows) beside a tensor with the batch at `place` and rows on `axis`."""
        scales = repeated(scales, place)
        axis %= ndim
        shape = [1] * ndim
        shape[place.axis], shape[axis] = scales.shape
        return (scales if place.axis < axis else scales.mT).reshape(shape)

    def beside(self, weight: Weight, place: Place, ndim: int) -> Tensor:
        """Each example's weights written out beside a tensor of `ndim` axes with the batch at `place`."""
        lifted = repeated(weight.written_out(), place)
        lifted = lifted.reshape(len(lifted), *[1] * (ndim - weight.value.ndim), *weight.value.shape)
        if lifted.shape[place.axis + 1] != 1:
            raise NoRule(self.root, "it lies along the batch itself")
        return lifted.squeeze(place.axis + 1).movedim(0, place.axis)

    def elementwise(self, ndim: int) -> Any:
        """The operation on tensors that broadcast."""
        if (place := self.place) is None:
            return NotImplemented
        args, kwargs = tree_map(
            lambda leaf: self.beside(leaf, place, ndim) if isinstance(leaf, Weight) else leaf, (self.args, self.kwargs)
        )
        return self.func(*args, **kwargs)

    def affine(
        self,
        product: Product,
        x: Any,
        W: Any,
        b: Any,
        *,
        out: int,
        into: int | None,
        axis: int,
        extra: int = 0,
        broadcasts: bool = False,
    ) -> Any:
        """product(x, W, b) at each example's own weights: y + s ⊙ product(x, R), or y + product(x ⊙ s, R).

        Args:
            product: linear in x and in W; its third argument, where there is one, is added.
            out, into: W's axes of outputs and of inputs; None where inputs cannot be scaled.
            axis: of inputs in x and of outputs in the result, from the end.
            extra: axes that the result has more than x.
            broadcasts: x may have any axes in front.
        """
        if isinstance(W, Weight) and (W.rows is None or W.rows.axis not in (out, into)):
            return NotImplemented
        place = next(iter(self.use.tensors), None)
        if not isinstance(x, Weight) and place is not None:
            along_batch = place.axis == x.ndim + extra + axis
            return NotImplemented if along_batch else self._affine(product, x, W, b, out, axis, extra, place)
        if not broadcasts:
            return NotImplemented
        lifted = x.written_out() if isinstance(x, Weight) else x[None]
        y = self._affine(product, lifted, W, b, out, axis, extra, Place(0))
        return Weight(self.root, product(value_of(x), value_of(W), value_of(b)), self.kind, lifted=y)

    def _affine(
        self, product: Product, x: Tensor, W: Any, b: Any, out: int, axis: int, extra: int, place: Place
    ) -> Tensor:
        w, bias = value_of(W), value_of(b)

        def change(x: Tensor, y: Tensor | None) -> Tensor | None:
            """y and what the responses add to it."""
            for s, R in W.rows.terms if isinstance(W, Weight) else ():
                if W.rows.axis == out:
                    term = product(x, R, None)
                    s = self.spread(s, axis, term.ndim, place).to(term.dtype)
                    y = s * term if y is None else torch.addcmul(y, s, term)
                else:
                    term = product(x * self.spread(s, axis, x.ndim, place).to(x.dtype), R, None)
                    y = term if y is None else y + term
            if isinstance(b, Weight):
                shift = self.spread(b.changes(), axis, x.ndim + extra, place)
                y = shift if y is None else y + shift.to(y.dtype)
            return y

        if self.kind == "weights":
            y = change(x, product(x, w, bias))
        elif self.kind == "differential":
            y, D = product(x, w, bias), change(x.detach(), None)
            y = self._first_order(y if D is None else y + differential(D).to(y.dtype))
        else:
            x, dx = forward_ad.unpack_dual(x)
            y = self._constant(product(x, w, bias))
            dy = change(x, None if dx is None else product(dx, w, None))
            if dy is not None:
                y = y if y.shape == dy.shape else y.expand(dy.shape).clone()
                y = forward_ad.make_dual(y, dy.to(y.dtype))
        assert y is not None
        return y

    def _constant(self, y: Tensor) -> Tensor:
        """y, a linearised value at w0, which nothing may be differentiated through.

        Its derivative in x would be w0's alone, for the response is in no weight but in the tangent.

        Raises:
            UserError: it has a graph.
        """
        if y.requires_grad:
            what = f"the operation on {self.root!r} is differentiated in its inputs"
            instead = "give it inputs that need no gradient, or choose a method without linearisation"
            raise UserError(f"{what}, which the linearisation cannot follow; {instead}")
        return y

    def _first_order(self, y: Tensor) -> Tensor:
        """y, of a pass whose gradients are a differential's: one more derivative would not see the response.

        Raises:
            UserError: it is differentiated twice.
        """

        def refuse(_gradient: Tensor) -> None:
            if torch.is_grad_enabled():
                what = f"the operation on {self.root!r} is differentiated in its inputs"
                raise UserError(f"{what}, which the control variate cannot follow; choose a method without one")

        if y.requires_grad:
            y.register_hook(refuse)
        return y

    def example_by_example(self) -> Any:
        """The operation on each example's tensors and weights alone."""
        leaves, spec = tree_flatten((self.args, self.kwargs))
        places = iter(self.use.tensors)
        own = self.now.layouts.own
        others = [isinstance(leaf, Tensor) and id(leaf) not in own for leaf in leaves]
        place_of = [next(places) if other else None for other in others]
        inputs: list[Tensor] = []
        axes: list[int | None] = []
        for leaf, place in zip(leaves, place_of, strict=True):
            if isinstance(leaf, Weight):
                inputs.append(leaf.written_out())
                axes.append(0)
            elif isinstance(leaf, Tensor) and place is not None:
                sizes = (place.times, -1) if place.interleaved else (-1, place.times)
                inputs.append(leaf.unflatten(place.axis, sizes))
                axes.append(place.axis + place.interleaved)
            elif isinstance(leaf, Tensor):
                inputs.append(leaf)
                axes.append(None)
        batched = any(place is not None for place in place_of)
        which = [isinstance(leaf, (Tensor, Weight)) for leaf in leaves]

        def alone(*tensors: Tensor) -> tuple[Tensor, ...]:
            given = iter(tensors)
            args, kwargs = tree_unflatten(
                [next(given) if w else leaf for w, leaf in zip(which, leaves, strict=True)], spec
            )
            flat, shape[0] = tree_flatten(self.func(*args, **kwargs))
            return tuple(flat)

        shape: list[Any] = [None]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop")
            results = torch.vmap(alone, tuple(axes), 0, randomness="different")(*inputs)
        if batched:
            flat = [self._joined(y, place) for y, place in zip(results, self.use.results, strict=True)]
            return tree_unflatten(flat, shape[0])
        args, kwargs = tree_map(value_of, (self.args, self.kwargs))
        values = self.func(*args, **kwargs)
        flat_values, _ = tree_flatten(values)
        places = self.use.results or (None,) * len(results)
        flat = [
            Weight(self.root, value, self.kind, lifted=y) if place is None else self._diagonal(y, place)
            for y, value, place in zip(results, flat_values, places, strict=True)
        ]
        return tree_unflatten(flat, shape[0])

    def _joined(self, y: Tensor, place: Place | None) -> Tensor:
        """(n, ...) with an example's rows at the batch's axis, as one tensor."""
        if place is None:
            raise NoRule(self.root, f"{getattr(self.func, '__name__', self.func)} mixes examples")
        y = y.movedim(0, place.axis + place.interleaved)
        return y.flatten(place.axis, place.axis + 1)

    def _diagonal(self, y: Tensor, place: Place) -> Tensor:
        """Example i of what i's weights would give the whole batch."""
        if place.times != 1:
            raise NoRule(self.root, "it is repeated for rows of examples")
        return y.diagonal(dim1=0, dim2=place.axis + 1).movedim(-1, place.axis)
