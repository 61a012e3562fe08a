"""How hypothesis draws: the same cases on every machine; `--hypothesis-profile=explore` looks for new ones.

And what processes that tests start import: the checkout, whichever copy of it is installed.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import tests.annotations  # noqa: F401  before anything that it is to check
from tests.strategies import no_type_checks

settings.register_profile("ci", max_examples=15, derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=500, derandomize=False, deadline=None, print_blob=True)
settings.load_profile("ci")

ROOT = Path(__file__).parent.parent
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.fixture(scope="module")
def no_types_checked() -> Iterator[None]:
    """For modules that run long loops: their pieces have tests of their own, where every annotation is checked."""
    with no_type_checks():
        yield
