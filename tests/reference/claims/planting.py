"""Faults planted in reference/ to see that each claim can fail: a piece of a module's text put in place of another.

`python -m tests.reference.claims.planting` plants the faults of every table, checks each one's claim, and prints
(as JSON, in the tables' order) the residual, or the error that ended it. It runs apart from pytest, whose import hook
wraps the functions that are to be changed.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from reference.beyond.yardstick.predictions.known import known
from reference.claims.registry import Claim, Verdict
from reference.console.check import CLAIMS


@dataclass(frozen=True)
class Fault:
    """A claim, by its function's name, and a change of the code that it speaks of which it must notice.

    Args:
        module: below `reference`, as "updates".
        text: stands exactly once in the module, within functions.
    """

    claim: str
    module: str
    text: str
    planted: str

    @property
    def known(self) -> Claim:
        """The claim."""
        (claim,) = (claim for claim in CLAIMS if getattr(claim.residual, "__name__", "") == self.claim)
        return claim


def noticed_by(claims: str, module: str, text: str, planted: str) -> tuple[Fault, ...]:
    """One fault for several claims, their functions' names with spaces between."""
    return tuple(Fault(claim, module, text, planted) for claim in claims.split())


@contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """The functions of a fault's module run its changed text.

    Raises:
        ValueError: the text does not stand exactly once in the module, or no function is changed by it.
    """
    module = import_module(f"reference.{fault.module}")
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    if source.count(fault.text) != 1:
        raise ValueError(f"{fault.text!r} stands {source.count(fault.text)} times in {module.__name__}, not once")
    sound, unsound = (_codes(compile(text, "", "exec")) for text in (source, source.replace(fault.text, fault.planted)))
    changed = {name for name in sound if sound[name] != unsound[name]}
    functions = {function.__qualname__: function for function in _functions(module)}
    before = {name: function.__code__ for name, function in functions.items() if name in changed}
    if not before:
        raise ValueError(f"{fault.text!r} is in no function of {module.__name__}")
    known.cache_clear()  # the yardstick's answers, computed by whatever code there is
    for name in before:
        functions[name].__code__ = unsound[name]
    try:
        yield
    finally:
        for name, code in before.items():
            functions[name].__code__ = code
        known.cache_clear()


def _codes(code: CodeType, qualname: str = "") -> dict[str, CodeType]:
    """The code of functions and methods by qualified name (of classes' bodies too, which no function bears)."""
    codes = {}
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and "<" not in constant.co_qualname:
            codes |= {constant.co_qualname: constant} | _codes(constant)
    return codes


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    for value in vars(module).values():
        members = vars(value).values() if isinstance(value, type) else [value]
        for member in members:
            function = _unwrapped(member)
            if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                yield function


def _unwrapped(member: Any) -> Any:
    if isinstance(member, property):
        member = member.fget
    elif isinstance(member, cached_property):
        member = member.func
    elif isinstance(member, staticmethod | classmethod):
        member = member.__func__
    return getattr(member, "__wrapped__", member)


def outcome(fault: Fault) -> dict[str, Any]:
    """What the claim says while the fault is planted."""
    try:
        with planted(fault):
            verdict: Verdict = fault.known.check()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"residual": repr(verdict.residual), "fails": not verdict.residual <= verdict.claim.tolerance}


if __name__ == "__main__":
    from tests.reference.claims.faults import FAULTS

    json.dump([outcome(fault) for fault in FAULTS], sys.stdout)
