"""Section 3: the centred form (3.1), the unperturbed objective (3.2), the linearised network (3.3), structure (3.4)."""
