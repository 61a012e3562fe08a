"""Eqn. 3.14 and E.1, operation by operation: what each example sees of a weight that responds."""
