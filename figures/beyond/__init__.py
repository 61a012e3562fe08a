"""Figures and tables beyond the paper, and what they read."""
