"""`python -m reference yardstick package.module:function`: hold a function of your own to the exact answers.

status   meaning
0        every problem was answered rightly
1        one was not
2        no such function, or not one of (problem, lam): said in one line
"""

import importlib
import inspect
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from reference.beyond.yardstick.report import measure
from reference.console.command import Parser, UserError


def main(arguments: Sequence[str]) -> int:
    """Import, measure, print, and return the exit status."""
    parser = Parser(
        prog="python -m reference yardstick",
        description="Hold a hypergradient, a function (problem, lam) -> gradient of shape (h,), to exact answers.",
    )
    parser.add_argument("function", metavar="PACKAGE.MODULE:FUNCTION", help="found from the current folder")
    parser.add_argument("--json", action="store_true", help="print one object instead of text")
    options = parser.parse_args(arguments)
    report = measure(imported(options.function))
    if options.json:
        print(json.dumps({"function": options.function, **report.as_object()}, ensure_ascii=False, indent=1))
    else:
        print(report.text())
    return 0 if report.passes else 1


def imported(name: str) -> Any:
    """The function of that name.

    Raises:
        UserError: it cannot be imported, or cannot be called with a problem and λ.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise UserError(f"{name!r} is not PACKAGE.MODULE:FUNCTION, such as mine.gradients:hypergradient")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` does, and an installed script does not
    try:
        function: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            function = getattr(function, part)
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{name} cannot be imported ({type(error).__name__}: {error}); correct it or its name"
        ) from None
    return callable_with_two(function, name)


def callable_with_two(function: Any, name: str) -> Any:
    """The function itself.

    Raises:
        UserError: it is not one of (problem, lam).
    """
    if not callable(function):
        raise UserError(f"{name} is not a function but {type(function).__name__}; give a function (problem, lam)")
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        raise UserError(f"{name} cannot be called with (problem, lam); its parameters must be these two") from None
    except ValueError:  # some built-in functions have no signature
        pass
    return function
