"""Faults that the claims of the appendices must notice."""

from tests.reference.claims.planting import Fault

APPENDIX_C = (
    Fault("eqn_c_4", "updates", "v = train.f(w0) + train.f.jvp(w0, dw)", "v = train.f(w0 + dw)"),
    Fault("eqn_c_4", "linear_network", "z = np.matvec(W, z)\n        return", "z = np.vecmat(z, W)\n        return"),
    Fault("eqn_c_4", "hypernet", "g[..., :, None] * c[..., None, :]", "g[..., :, None] * c[..., None, :] ** 2"),
    Fault(
        "eqn_c_9", "quadratic", "np.vecdot(lam, np.matvec(self.C, lam)) / 2", "np.vecdot(lam, np.matvec(self.C, lam))"
    ),
    Fault("eqn_c_9", "quadratic", "np.vecmat(w, self.B) + np.matvec(self.C, lam)", "np.vecmat(w, self.B)"),
    Fault("eqns_c_10_to_c_12", "quadratic", "+ self.train.d)", "- self.train.d)"),
    Fault(
        "eqns_c_10_to_c_12",
        "problem",
        "return -np.linalg.solve(self.hess_ww(lam, r)",
        "return np.linalg.solve(self.hess_ww(lam, r)",
    ),
    Fault("eqns_c_13_to_c_20", "quadratic", "np.matvec(self.B, lam) + self.d) +", "np.matvec(self.B, lam) - self.d) +"),
    Fault(
        "eqns_c_21_to_c_24", "quadratic", "np.vecdot(w, np.matvec(self.A, w)) / 2", "np.vecdot(w, np.matvec(self.A, w))"
    ),
    Fault("eqns_c_21_to_c_24", "perturbation", ".reshape(-1, h) * sigma", ".reshape(-1, h) * sigma**2"),
    Fault("eqn_c_25", "perturbation", ".reshape(-1, h) * sigma", ".reshape(-1, h) * np.sqrt(sigma)"),
    Fault("eqn_c_25", "updates", "return train.grad_w(lam, w0 + dw)", "return train.grad_w(lam, w0 - dw)"),
    Fault("eqn_c_25", "hypernet", "return np.matvec(self.Theta, c)", "return np.matvec(self.Theta, c**2)"),
    Fault(
        "eqn_c_25",
        "quadratic",
        "np.matvec(self.A, w) + np.matvec(self.B, lam) + self.d",
        "np.matvec(self.A, w) - np.matvec(self.B, lam) + self.d",
    ),
    Fault("eqn_c_26", "quadratic", "np.vecdot(w, np.matvec(self.A, w)) / 2", "np.vecdot(w, np.matvec(self.A, w))"),
    Fault(
        "eqn_c_26",
        "problem",
        "return -np.linalg.solve(self.hess_ww(lam, r)",
        "return np.linalg.solve(self.hess_ww(lam, r)",
    ),
    Fault("lemma_4", "saturating", "-2 * np.tanh(w)", "2 * np.tanh(w)"),
    Fault(
        "lemma_4",
        "problem",
        "self.gauss_newton(lam, w) + self.f.curvature",
        "self.gauss_newton(lam, w) - self.f.curvature",
    ),
    Fault("lemma_4", "ridge", "self.s(lam) / self.divisor * v", "self.s(lam) / (2 * self.divisor) * v"),
    Fault(
        "eqns_c_31_and_c_32",
        "ridge",
        "(self.s.derivative(lam) / self.divisor * v)",
        "(self.s.derivative(lam) / self.n * v)",
    ),
    Fault(
        "eqns_c_31_and_c_32",
        "problem",
        "self.train_hess_vlam(lam, self.f(w))\n\n    def hess_vec",
        "self.train_hess_vlam(lam, w)\n\n    def hess_vec",
    ),
)

FAULTS: tuple[Fault, ...] = APPENDIX_C
