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

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from deep.hyper.draws import Draws
from deep.rates.marks import Rate, known
from deep.responses.call import Call, beside, repeated
from deep.responses.composite import WRITTEN_OUT, hides
from deep.responses.layouts import Layouts, Place
from deep.responses.row_response import RowResponse
from deep.responses.weights import NoRule, Rows, Weight, first_order, moved
from reference.console.command import UserError

Rule = Callable[..., Any]

RULES: dict[Any, Rule] = {}
"""For operations on a weight that responds, with an ε for each example."""

RATE_RULES: dict[Any, Rule] = {}
"""For operations that a drop rate reaches."""

LINEARISED: dict[Any, Callable[..., Any]] = {}
"""For operations of a linearised pass that PyTorch cannot differentiate forwards, or whose tangents not backwards."""

IN_PROCESSES: dict[Any, Callable[..., Any]] = {}
"""For operations that see all rows of a batch, where several processes share it."""

ABOUT = frozenset({
    "size", "dim", "ndimension", "numel", "nelement", "stride", "is_floating_point", "is_complex", "is_contiguous",
    "type", "get_device", "element_size", "data_ptr", "__len__", "__hash__", "__repr__", "__format__",
    "detach_", "item", "tolist", "__bool__", "requires_grad_", "register_hook", "new_zeros", "new_ones", "new_empty",
    "new_full", "new_tensor", "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like",
    "_unpack_dual",
})  # fmt: skip
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
            args, kwargs = known(self.rates, (args, kwargs))
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
        return 1 - value if rate.retains else value

    def rate_beside(self, func: Any, rate: Rate, x: Tensor) -> Tensor:
        """p of each example along the batch's axis of an operation's tensor."""
        rate.read()
        value = self.rate(rate.name)
        if not value.ndim:
            return value
        place = self.place_of(func, rate, x)
        if place is None:
            problem = f"dropout {rate.name!r} has one mask for all examples"
            raise UserError(f"{problem}; declare it with per='batch'")
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
        if id(kwargs.get("out")) in self.layouts.members:
            return func(*args, **kwargs)  # a buffer, such as a spectral norm's, is of w0
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
                problem = (
                    "the loss sees the network otherwise than through its outputs (kept activations, its own call)"
                )
                raise UserError(f"{problem}; let the model return what the loss needs, in a tuple, list or dict")

    def _by_rule(self, root: str, func: Any, args: Any, kwargs: Any) -> Any:
        members = self.layouts.members
        others = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and id(x) not in members]
        use = self.layouts.use(root, func, others, self.n)
        call = Call(self.kind, self.together, self.layouts.members, func, root, use, args, kwargs)
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
