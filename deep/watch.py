"""Whether a weight is used where its response does not reach."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from deep.hypernet import Hypernetwork
from reference.command import UserError


@contextmanager
def watching(net: Hypernetwork) -> Iterator[None]:
    """Inside the block no weight that responds may be used but by its own layer, or by `squared_norm`.

    Anything else, such as a tied weight or a penalty written out, would see w0 where the layer has w0 + Δw.

    Raises:
        UserError: one is.
    """
    watch = _Watch(net)
    own = [(branch.layer, branch.layer.forward) for branch in net]
    for layer, forward in own:
        layer.forward = watch.allowing(forward)
    net.squared_norm = watch.allowing(net.squared_norm)
    try:
        with watch:
            yield
    finally:
        del net.squared_norm
        for layer, forward in own:
            layer.forward = forward


LIKE = ("to", "type_as", "expand_as", "view_as", "reshape_as")
"""Of these only the first argument's numbers are used."""


class _Watch(TorchFunctionMode):
    def __init__(self, net: Hypernetwork) -> None:
        super().__init__()
        named = [(name or type(branch.layer).__name__, branch.layer) for name, branch in net.named()]
        self.owner = {id(parameter): name for name, layer in named for parameter in layer.parameters(recurse=False)}
        self.allowed = 0

    def allowing(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def allowed(*args: Any, **kwargs: Any) -> Any:
            self.allowed += 1
            try:
                return call(*args, **kwargs)
            finally:
                self.allowed -= 1

        return allowed

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.allowed or not any(isinstance(one, Tensor) and one.requires_grad for one in tree_leaves(result)):
            return result
        used = args[:1] if getattr(func, "__name__", "") in LIKE else (args, kwargs)
        for leaf in tree_leaves(used):
            if id(leaf) in self.owner:
                what = (
                    f"a weight of layer {self.owner[id(leaf)]!r} is used outside that layer, where its response is not"
                )
                raise UserError(f"{what}; for a penalty call squared_norm, else leave it out (without_response)")
        return result
