"""Faults that the claims beyond the paper must notice."""

from tests.reference.claims.planting import Fault

FAULTS: tuple[Fault, ...] = ()
