"""The command `python -m figures`: what can be drawn, options, pages."""
