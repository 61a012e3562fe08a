"""How hypothesis draws: the same cases on every machine; `--hypothesis-profile=explore` looks for new ones."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.strategies import no_type_checks

settings.register_profile("ci", max_examples=25, derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=500, derandomize=False, deadline=None, print_blob=True)
settings.load_profile("ci")


@pytest.fixture(scope="module")
def no_types_checked() -> Iterator[None]:
    """For modules that run long loops: their pieces have tests of their own, where every annotation is checked."""
    with no_type_checks():
        yield
