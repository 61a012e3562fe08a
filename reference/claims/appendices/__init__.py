"""Appendices C to H, a module for each, or for each of its results."""
