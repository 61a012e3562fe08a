"""Annotations are checked under pytest, and here at a tenth of the price.

jaxtyping's import hook decorates every function by `jaxtyping.jaxtyped`. At each call that binds the arguments anew and
has beartype look at them twice: 25 µs where nothing has a shape, which was most of the time of the tests of `deep`. In
its place stands beartype on the function itself, within a memo of sizes where an annotation has any.
"""

import dataclasses
from collections.abc import Callable
from functools import partial, wraps
from inspect import isclass
from types import SimpleNamespace
from typing import Any, get_type_hints

import jaxtyping
from beartype import beartype
from jaxtyping import config, jaxtyped


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check the function's annotations at each call, one size for one name; not within `no_type_checks`."""
    function.__annotations__ = {name: resolved(hint, function) for name, hint in function.__annotations__.items()}
    typed = beartype(function)
    shapes = any("jaxtyping" in repr(annotation) for annotation in function.__annotations__.values())

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if config.jaxtyping_disable:
            return function(*args, **kwargs)
        if not shapes:
            return typed(*args, **kwargs)
        with jaxtyped("context"):
            return typed(*args, **kwargs)

    return call


def resolved(hint: Any, function: Callable[..., Any]) -> Any:
    """Return what a string stands for; Any where that is not yet defined, or imported for the type checker alone."""
    holder = SimpleNamespace(__annotations__={"": hint})
    try:
        return get_type_hints(holder, function.__globals__, include_extras=True)[""]
    except Exception:
        return Any


def decorate(thing: Any = None, *, typechecker: Any = None) -> Any:
    """Stand in for `jaxtyping.jaxtyped` as the import hook calls it: on functions, and on classes for a dataclass."""
    if thing is None:
        return partial(decorate, typechecker=typechecker)
    if not isclass(thing):
        return checked(thing)
    if dataclasses.is_dataclass(thing) and not hasattr(thing.__init__, "__wrapped__"):
        thing.__init__ = checked(thing.__init__)
    return thing


jaxtyping.jaxtyped = decorate
