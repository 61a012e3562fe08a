"""A second route to prices: a problem that counts what is asked of it, and a generator that gives what it is told."""

from collections import Counter
from typing import Any, cast

import numpy as np

from reference.bilevel.problem import Problem


class Counted:
    """Passes everything on to a problem, counting the calls; mini-batches count with their problem, by their rows."""

    def __init__(self, problem: Problem, calls: Counter[str] | None = None, share: float = 1.0) -> None:
        self._problem, self.calls, self._share = problem, Counter() if calls is None else calls, share

    def __getattr__(self, name: str) -> Any:
        actual = getattr(self._problem, name)
        if not callable(actual) or name == "f":
            return actual

        def counted(*arguments: Any) -> Any:
            self.calls[name] += cast(int, self._share)
            return actual(*arguments)

        return counted

    def rows(self, rows: np.ndarray) -> "Counted":
        whole = cast(Any, self._problem)
        return Counted(whole.rows(rows), self.calls, len(rows) / whole.n)


class Told(np.random.Generator):
    """A generator whose mini-batches are those it is told, one after the other."""

    def __init__(self, *picks: tuple[int, ...]) -> None:
        super().__init__(np.random.PCG64(0))
        self._picks = list(picks)

    def choice(self, *_: Any, **__: Any) -> Any:
        return np.array(self._picks.pop(0))
