"""Every way to a hypergradient, and what a user would pick instead."""
