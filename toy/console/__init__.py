"""The command `python -m toy`."""
