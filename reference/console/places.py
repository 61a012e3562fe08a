"""Where each number of the paper stands in the code: functions, classes and modules whose docstrings begin with it.

>>> [place.name for place in places("G.8")]
['appendix_g_minimiser']
"""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
NUMBER = re.compile(r"(?<![\w.])([A-I]|\d)\.(\d+)(?!\.?\d)(?:(?:, \1\.\d+)* ?(?:-|–|to) ?\1\.(\d+)(?!\.?\d))?")
WORDS = re.compile(r"(Theorem|Lemma|Observation|Alg(?:orithm)?)s?\.? (\d)(?: and (\d))?")


class Place(NamedTuple):
    """A definition, or a module, that names a number.

    Args:
        path: from the project's root.
        line: of the definition; 1 for a module.
        name: within the module, with its class; empty for the module.
        words: the docstring's first line.
    """

    path: str
    line: int
    name: str
    words: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.name}".rstrip()


def numbers(text: str) -> set[str]:
    """Return the paper's numbers in a text, ranges written out; sections and appendices are none.

    Example:
        >>> sorted(numbers("Eqns. C.10 to C.12 and 3.1, by Theorem 3; in [0.5, 2.5] of section 2.2, H.2.1"))
        ['3.1', 'C.10', 'C.11', 'C.12', 'Theorem 3']
    """
    text = re.sub(r"([Ss]ections?|[Aa]ppendix) [A-Z\d.]+\d|\[[^]]*\]", "", text)
    named = set[str]()
    for part, first, last in NUMBER.findall(text):
        if part.isalpha() or "Eqn" in text:
            named |= {f"{part}.{k}" for k in range(int(first), int(last or first) + 1)}
    for kind, *digits in WORDS.findall(text):
        named |= {f"{'Alg.' if kind.startswith('Alg') else kind} {digit}" for digit in digits if digit}
    return named


def places(number: str) -> list[Place]:
    """Return the places that name a number of the paper: definitions first, and the paper's rooms."""
    named = [place for place in _every() if number.strip() in numbers(place.words)]
    return sorted(named, key=lambda place: (not place.name, "beyond" in place.path))


def place_of(function: Callable[..., object]) -> str:
    """Return a function's file and line."""
    code = inspect.unwrap(function).__code__
    return f"{Path(code.co_filename).resolve().relative_to(ROOT)}:{code.co_firstlineno}"


@cache
def _every() -> tuple[Place, ...]:
    """Claims are not among them: `python -m reference` names those itself."""
    paths = [path for folder in ("reference", "toy", "deep") for path in sorted((ROOT / folder).rglob("*.py"))]
    return tuple(place for path in paths if "claims" not in path.parts for place in _of_file(path))


def _of_file(path: Path) -> Iterator[Place]:
    tree, where = ast.parse(path.read_text(encoding="utf-8")), str(path.relative_to(ROOT))
    yield Place(where, 1, "", _first_line(tree))
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield Place(where, node.lineno, node.name, _first_line(node))
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    yield Place(where, method.lineno, f"{node.name}.{method.name}", _first_line(method))
        elif isinstance(node, ast.FunctionDef):
            yield Place(where, node.lineno, node.name, _first_line(node))


def _first_line(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> str:
    return (ast.get_docstring(node) or "").split("\n")[0]
