"""Algorithms 1 and 2 on a PyTorch model: gradients, steps, state, and what goes wrong."""
