"""Faults that the claims of the appendices must notice."""

from tests.reference.claims.planting import Fault

FAULTS: tuple[Fault, ...] = ()
