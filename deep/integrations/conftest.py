"""Modules and README are tried where the packages are."""

from importlib.util import find_spec

PACKAGES = ("transformers", "lightning", "accelerate", "peft")
collect_ignore_glob = ["*.py", "*.md"] if any(find_spec(package) is None for package in PACKAGES) else []
