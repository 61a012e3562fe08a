"""For each claim a fault that it must notice."""

from tests.reference.claims import faults_appendices, faults_beyond, faults_sections, faults_theory
from tests.reference.claims.planting import Fault

FAULTS: tuple[Fault, ...] = (
    *faults_sections.FAULTS,
    *faults_appendices.FAULTS,
    *faults_beyond.FAULTS,
    *faults_theory.FAULTS,
)
