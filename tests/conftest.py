"""How hypothesis draws: the same cases on every machine; `--hypothesis-profile=explore` looks for new ones."""

from hypothesis import settings

settings.register_profile("ci", max_examples=25, derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=500, derandomize=False, deadline=None, print_blob=True)
settings.load_profile("ci")
