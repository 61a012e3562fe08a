"""Δ-STN's changes on deep runs."""
