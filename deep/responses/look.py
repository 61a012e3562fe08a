"""Where the batch is, found by running a model on n and on n - 1 examples, not by an axis's length.

The model runs as each example alone: nothing is dropped, and batch norms use their running statistics. Rows of the two
runs can then be told apart by their numbers, where the order of regrouped rows has to be known.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from deep.hyper.generators import repeated
from deep.rates.marks import Rate, known
from deep.responses.composite import WRITTEN_OUT, hides
from deep.responses.forward import ABOUT, LIKE, RATE_RULES
from deep.responses.layouts import Key, Layouts, Place, Use, key_of
from reference.console.command import UserError


def look(
    run: Callable[[int], object],
    n: int,
    named: Mapping[int, str],
    members: Iterable[Tensor],
    rates: Mapping[float, Rate],
    likely: Iterable[str],
) -> Layouts:
    """Run on n and on n - 1 examples until no use of a parameter, or of what is made of parameters alone, is new.

    A batch of one example, and a model that takes no other batch than one of n, are run once: which parameters are used
    is seen then, not where the batch is.

    Args:
        run: a pass over the batch's first so many examples.
        named: identity of a responding parameter -> its name.
        members: all tensors that belong to the model.
        rates: marked, by their numbers.
        likely: names of what looks like a drop rate.
    """
    layouts = Layouts(members={id(tensor): tensor for tensor in members}, likely=frozenset(likely))

    def log(rows: int) -> _Look:
        with _Look(rows, named, rates, layouts) as seen:
            run(rows)
        return seen

    for _ in range(8):
        known = set(layouts.uses)
        with repeated():  # the two runs take the same branches
            whole = log(n)
        if n == 1:
            break
        try:
            _merge(layouts, whole, log(n - 1), n)
        except (UserError, RuntimeError, ValueError):
            break
        if set(layouts.uses) == known:
            break
    return layouts


OF_BATCH = "_of_batch"
"""Marks the inputs, and what is computed from them."""


class _Call(NamedTuple):
    shapes: list[torch.Size]
    results: list[torch.Size]
    sums: list[dict[int, Tensor]]
    of_batch: bool


class _Look(TorchFunctionMode):
    """Logs each operation on a parameter or a rate."""

    def __init__(self, n: int, named: Mapping[int, str], rates: Mapping[float, Rate], layouts: Layouts) -> None:
        super().__init__()
        self.n, self.rates = n, rates
        self.roots: dict[int, tuple[str, ...]] = {key: (name,) for key, name in named.items()}
        self.members, self.layouts = layouts.members, layouts
        self.calls: dict[Key, list[_Call]] = defaultdict(list)
        self._alive: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _name(func) == "__get__":
            return self._derive(func, args, func(*args, **kwargs))
        if func in RATE_RULES or func in WRITTEN_OUT:
            args, kwargs = known(self.rates, (args, kwargs))
        leaves = tree_leaves((args, kwargs))
        about = _name(func) in ABOUT or (_name(func) in LIKE and id(args[0]) not in self.roots)
        about |= id(kwargs.get("out")) in self.members
        roots = () if about else sum((self.roots.get(id(leaf), ()) for leaf in leaves), ())
        rates = [leaf for leaf in leaves if isinstance(leaf, Rate)]
        if hides(func, args) and (roots or rates or func is F.multi_head_attention_forward):
            with self:
                return WRITTEN_OUT[func](*args, **kwargs)
        if not rates and (number := _plain_rate(func, args, kwargs)):
            self.layouts.numbers[f"{_name(func)}(..., {number:g})"] = number
        result = _alone(func, args, kwargs, rates)
        sources = () if _name(func) in ABOUT else args[:1] if _name(func) in LIKE else leaves
        if any(hasattr(leaf, OF_BATCH) for leaf in sources):
            for y in tree_leaves(result):
                if isinstance(y, Tensor) and id(y) not in self.members:
                    setattr(y, OF_BATCH, True)
        if roots or rates:
            self._log(func, roots, rates, leaves, result)
        return result

    def _log(self, func: Any, roots: tuple[str, ...], rates: list[Rate], leaves: list[Any], result: Any) -> None:
        tensors = [x for x in leaves if isinstance(x, Tensor) and id(x) not in self.roots and id(x) not in self.members]
        results = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        sums = [_regrouped_sums(tensor, self.n) for tensor in tensors]
        of_batch = any(hasattr(x, OF_BATCH) for x in tensors)
        call = _Call([x.shape for x in tensors], [y.shape for y in results], sums, of_batch)
        for rate in rates:
            if rate.name in self.layouts.likely or func in RATE_RULES:
                rate.read()
            self.calls[key_of(rate.name, func, tensors)].append(call)
        if not roots:
            return
        self.layouts.seen.update(roots)
        if torch.is_grad_enabled():
            self.layouts.with_gradient.update(roots)
        for root in dict.fromkeys(roots):  # any of them may be left out later
            self.calls[key_of(root, func, tensors)].append(call)
        if self._without_batch(key_of(roots[0], func, tensors), tensors):
            for y in results:
                self._follow(y, roots)

    def _derive(self, func: Any, args: Any, result: Any) -> Any:
        if isinstance(result, Tensor) and id(args[0]) in self.roots:
            self._follow(result, self.roots[id(args[0])])
        return result

    def _follow(self, y: Tensor, roots: tuple[str, ...]) -> None:
        self.roots[id(y)] = roots
        self._alive.append(y)

    def _without_batch(self, key: Key, tensors: list[Tensor]) -> bool:
        use = self.layouts.uses.get(key)
        return not tensors if use is None else not any((*use.tensors, *use.results))


def _name(func: Any) -> str:
    return getattr(func, "__name__", "")


def _regrouped_sums(x: Tensor, n: int) -> dict[int, Tensor]:
    """By axis along which x may have several rows an example: each row's sum, with weights, for a norm's sums are 0."""
    axes = [axis for axis, length in enumerate(x.shape) if length > n and length % n == 0 and x.ndim > 1]
    rows = {axis: x.detach().double().movedim(axis, 0).flatten(1) for axis in axes}
    return {axis: y @ torch.arange(1.0, 1 + y.shape[1], device=y.device).to(y).sqrt() for axis, y in rows.items()}


def _plain_rate(func: Any, args: Any, kwargs: Any) -> float:
    """The rate of a dropout in training that no attribute of a module holds; 0 where there is none."""
    if func is F.scaled_dot_product_attention:
        return kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0)
    if "dropout" not in _name(func):
        return 0.0
    arguments = dict(zip(("input", "p", "training"), args, strict=False)) | kwargs
    rate = arguments.get("p", 0.5)
    training = arguments.get("training", "alpha" not in _name(func))
    return rate if training and isinstance(rate, float) else 0.0


def _alone(func: Any, args: Any, kwargs: Any, rates: list[Rate]) -> Any:
    """The operation as each example alone would see it."""
    if "dropout" in _name(func) and args:
        return args[0].clone()
    if func is F.batch_norm:
        x, mean, var = args[:3]
        arguments = {**dict(zip(("weight", "bias"), args[3:5], strict=False)), **kwargs}
        if mean is None:
            like = arguments["weight"] if arguments.get("weight") is not None else x
            mean, var = like.new_zeros(x.shape[1]), like.new_ones(x.shape[1])
        return func(
            x, mean, var, arguments.get("weight"), arguments.get("bias"), False, 0.0, arguments.get("eps", 1e-5)
        )
    if func in (torch.Tensor.bernoulli_, torch.bernoulli) and rates:
        return args[0].fill_(1.0)
    return func(*args, **kwargs)


def _merge(layouts: Layouts, full: _Look, less: _Look, n: int) -> None:
    for key, calls in full.calls.items():
        others = less.calls.get(key, [])
        if len(calls) != len(others):
            layouts.unclear[key[0]] = "the model does other things on a batch of one example less"
            continue
        for call, other in zip(calls, others, strict=True):
            with suppress(_Unclear):
                pairs = zip(call.shapes, other.shapes, call.sums, other.sums, strict=True)
                tensors = tuple(_place(*pair, n) for pair in pairs)
                # The order of a result's rows is of use where the result is an operation's tensor in turn.
                results = tuple(_place(a, b, {}, {}, n) for a, b in zip(call.results, other.results, strict=True))
                if call.of_batch and not any(tensors):  # such as the rows of an expert that the last example has not
                    raise _Unclear
                use = Use(tensors, results)
                if layouts.uses.setdefault(key, use) == use:
                    continue
            layouts.unclear[key[0]] = "examples cannot be told apart where it is used"


class _Unclear(Exception):
    pass


def _place(a: torch.Size, b: torch.Size, sums: dict[int, Tensor], others: dict[int, Tensor], n: int) -> Place | None:
    """Where the shapes differ, the batch is; of regrouped rows the order is seen by their sums."""
    axes = [axis for axis, (more, fewer) in enumerate(zip(a, b, strict=True)) if more != fewer]
    if not axes:
        return None
    axis = axes[0]
    times, remainder = divmod(a[axis], n)
    if len(axes) > 1 or remainder or b[axis] != times * (n - 1):
        raise _Unclear
    if times == 1 or not (axis in sums and axis in others):
        return Place(axis, times)
    more, fewer = sums[axis], others[axis]
    far = 1e-5 * float(more.abs().max())
    if torch.allclose(more[: len(fewer)], fewer, 1e-4, far):
        return Place(axis, times)
    if torch.allclose(more.reshape(times, n)[:, :-1].reshape(-1), fewer, 1e-4, far):
        return Place(axis, times, interleaved=True)
    raise _Unclear
