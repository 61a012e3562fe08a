"""Faults that the claims of sections 2 and 3 and of the algorithms must notice."""

from tests.reference.claims.planting import Fault

FAULTS = (
    Fault(
        "eqn_2_3",
        "problem",
        "return -np.linalg.solve(self.hess_ww(lam, r)",
        "return np.linalg.solve(self.hess_ww(lam, r)",
    ),
)
