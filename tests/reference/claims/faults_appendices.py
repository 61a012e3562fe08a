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

APPENDIX_D = (
    Fault("eqn_d_1", "perturbation", ".reshape(-1, h) * sigma", ".reshape(-1, h) * sigma**2"),
    Fault("eqn_d_1", "fixed_points", "a = c * np.exp(lam + variance / 2)", "a = c * np.exp(lam + variance)"),
    Fault("eqn_d_2", "ridge", "/ self.n + self.s(lam) / self.divisor * v", "/ self.n - self.s(lam) / self.divisor * v"),
    Fault("eqn_d_2", "ridge", "[..., 0] / (2 * self.divisor) *", "[..., 0] / self.divisor *"),
    Fault("eqns_d_3_and_d_4", "many", "* self.membership / self.n", "* self.membership"),
    Fault("eqns_d_5_to_d_7", "dropout", "p * q * (q - p)", "p * q * (p - q)"),
    Fault(
        "eqns_d_5_to_d_7",
        "linear_network",
        "z[..., None, :] + u_k[..., :, None] * dz",
        "z[..., None, :] - u_k[..., :, None] * dz",
    ),
    Fault(
        "eqns_d_5_to_d_7",
        "many",
        "(np.vecmat(residual, self.X) + self.weight(lam) * v)",
        "(np.vecmat(residual, self.X) + 2 * self.weight(lam) * v)",
    ),
    Fault("eqn_d_8", "ridge", "(self.s.derivative(lam) / self.divisor * v)", "(self.s.derivative(lam) / self.n * v)"),
    Fault("eqn_d_8", "perturbation", ".reshape(-1, h) * sigma", ".reshape(-1, h) * sigma**2"),
    Fault("eqn_d_8", "fixed_points", "return a, variance * a,", "return a, sigma * a,"),
    Fault("eqn_d_9", "ridge", "(self.s.derivative(lam) / self.divisor * v)", "(self.s.derivative(lam) / self.n * v)"),
    Fault("eqn_d_9", "many", "* self.membership / self.n", "* self.membership"),
    Fault("eqn_d_9", "perturbation", ".reshape(-1, h) * sigma", ".reshape(-1, h) * sigma**2"),
    Fault("eqn_d_9", "fixed_points", "return a, variance * a,", "return a, sigma * a,"),
    Fault("eqns_d_10_to_d_13", "hypernet", "self.Theta / sigma[..., None, :] ** 2", "self.Theta / sigma[..., None, :]"),
    Fault("eqns_d_10_to_d_13", "many", "* self.membership / self.n", "* self.membership"),
    Fault("eqns_d_14_and_d_15", "updates", "return train.grad_w(lam, w0 + dw)", "return train.grad_w(lam, w0)"),
    Fault(
        "eqns_d_14_and_d_15",
        "ridge",
        "(self.s.derivative(lam) / self.divisor * v)",
        "(self.s.derivative(lam) / self.n * v)",
    ),
    Fault("eqns_d_16_to_d_19", "hypernet", "return np.vecmat(g, self.Theta)", "return -np.vecmat(g, self.Theta)"),
    Fault("eqns_d_16_to_d_19", "many", "* self.membership / self.n", "* self.membership"),
    Fault(
        "eqn_d_20",
        "linear_network",
        "np.vecmat(du, W) + np.vecmat(u, dW)\n        return du",
        "np.vecmat(du, W) + np.matvec(dW, u)\n        return du",
    ),
    Fault("eqn_d_20", "linear_network", "z = np.matvec(W, z)\n        return", "z = np.vecmat(z, W)\n        return"),
    Fault("eqn_d_20_penalty", "ridge", "/ self.n + self.s(lam) / self.divisor * v", "/ self.n"),
    Fault("eqns_d_21_to_d_23", "ridge", "self.s(lam) / self.divisor * dv", "self.s(lam) / self.n * dv"),
    Fault("eqns_d_21_to_d_23", "fixed_points", "(variance + variance**2) * a", "variance * a"),
    Fault("eqns_d_24_to_d_26", "linear_network", "np.matvec(dW, z) + np.matvec(W, dz)", "np.matvec(W, dz)"),
    Fault(
        "eqns_d_24_to_d_26", "problem", "return outputs + self.f.curvature_vec", "return outputs - self.f.curvature_vec"
    ),
    Fault("eqn_d_27", "updates", "v = train.f(w0) + train.f.jvp(w0, dw)", "v = train.f(w0 + dw)"),
    Fault("eqn_d_27", "networks", "return J.mT @ H @ J", "return J.mT @ J"),
)

APPENDICES_E_AND_F = (
    Fault("eqn_e_1", "structured", "np.matvec(self.V, c) * self.b_response", "np.matvec(self.U, c) * self.b_response"),
    Fault(
        "eqn_e_1",
        "structured",
        "return w[..., : o * i].reshape(*w.shape[:-1], o, i)",
        "return w[..., : o * i].reshape(*w.shape[:-1], i, o).mT",
    ),
    Fault("eqn_e_1_counts", "structured", "return 2 * p + 2 * h * c_out", "return 2 * p + h * c_out"),
    Fault("eqn_e_1_counts", "structured", "p = c_out * (c_in * kernel**2 + 1)", "p = c_out * (c_in * kernel + 1)"),
    Fault("eqn_f_1", "updates", "return eps if method.centred else lam + eps", "return lam + eps"),
    Fault(
        "eqn_f_1",
        "transforms",
        "(self.high - self.low) * expit(lam) * expit(-lam)",
        "(self.high - self.low) * expit(lam)",
    ),
    Fault("eqn_f_1", "ridge", "(self.s.derivative(lam) / self.divisor * v)", "(self.s(lam) / self.divisor * v)"),
    Fault(
        "appendix_f",
        "transforms",
        "self.low + (self.high - self.low) * expit(lam)",
        "self.low + self.high * expit(lam)",
    ),
    Fault("appendix_f", "transforms", "return float(np.log(_inside", "return -float(np.log(_inside"),
)

APPENDIX_G = (
    Fault("eqns_g_1_to_g_3", "ridge", "[..., 0] / (2 * self.divisor) *", "[..., 0] / self.divisor *"),
    Fault(
        "eqns_g_1_to_g_3",
        "ridge",
        "np.sum(residual**2, axis=-1) / (2 * self.n)",
        "np.sum(residual**2, axis=-1) / self.n",
    ),
    Fault("eqns_g_4_and_g_5", "ridge", "[..., 0] / (2 * self.divisor) *", "[..., 0] / self.divisor *"),
    Fault("eqns_g_4_and_g_5", "perturbation", ".reshape(-1, h) * sigma", ".reshape(-1, h) * sigma**2"),
    Fault("eqn_g_6", "updates", "return train.grad_w(lam, w0 + dw)", "return train.grad_w(lam, w0)"),
    Fault("eqn_g_6", "ridge", "np.vecmat(residual, self.X) / self.n +", "np.vecmat(residual, self.X) +"),
    Fault("eqn_g_7", "updates", "return train.grad_w(lam, w0 + dw)", "return train.grad_w(lam, w0 - dw)"),
    Fault("eqn_g_7", "perturbation", ".reshape(-1, h) * sigma", ".reshape(-1, h) * sigma**2"),
    Fault("eqn_g_7", "ridge", "/ self.n + self.s(lam) / self.divisor * v", "/ self.n - self.s(lam) / self.divisor * v"),
    Fault("eqn_g_8", "updates", "return train.grad_w(lam, w0 + dw)", "return train.grad_w(lam, w0 - dw)"),
    Fault("eqn_g_8", "updates", "return eps if method.centred else lam + eps", "return lam + eps"),
    Fault(
        "eqn_g_8", "ridge", "/ self.n + self.s(lam) / self.divisor * v", "/ self.n + self.s(lam) / self.divisor * v / 2"
    ),
    Fault("eqns_g_7_and_g_8", "updates", "return train.grad_w(lam, w0 + dw)", "return train.grad_w(lam, w0 - dw)"),
    Fault("eqns_g_7_and_g_8", "perturbation", ".reshape(-1, h) * sigma", ".reshape(-1, h) * sigma**2"),
    Fault("eqns_g_7_and_g_8", "fixed_points", "(k - (c * sigma) ** 2 / k)", "(k - c * sigma / k)"),
    Fault(
        "eqn_g_9", "ridge", "/ self.n + self.s(lam) / self.divisor * v", "/ self.n + self.s(lam) / self.divisor * v / 2"
    ),
    Fault("eqn_g_9", "hypernet", "return np.matvec(self.Theta, c)", "return -np.matvec(self.Theta, c)"),
    Fault("eqn_g_9_and_3_9", "updates", "return train.grad_w(lam, w0 + dw)", "return train.grad_w(lam, w0 - dw)"),
    Fault("eqn_g_9_and_3_9", "fixed_points", "return c * lam, c * variance, c", "return c * lam, c * sigma, c"),
    Fault("eqn_g_2_no_minimum", "ridge", "[..., 0] / (2 * self.divisor) *", "[..., 0] / self.divisor *"),
    Fault("eqn_g_2_no_minimum", "fixed_points", "if np.any(k <= c * sigma)", "if np.any(k <= 0)"),
)

APPENDIX_H = (
    Fault("eqn_h_1", "ridge", "[..., 0] / (2 * self.divisor) *", "[..., 0] / (2 * self.n) *"),
    Fault("eqn_h_1", "ridge", "/ self.n + self.s(lam) / self.divisor * v", "/ self.n + self.s(lam) / self.n * v"),
    Fault("eqn_h_1", "ridge", "(self.s.derivative(lam) / self.divisor * v)", "(self.s.derivative(lam) / self.n * v)"),
    Fault(
        "eqn_h_1",
        "transforms",
        'def __call__(self, lam: Float[ndarray, "..."]) -> Float[ndarray, "..."]:\n        return np.exp(lam)',
        'def __call__(self, lam: Float[ndarray, "..."]) -> Float[ndarray, "..."]:\n        return np.exp(-lam)',
    ),
    Fault("eqn_h_2", "dropout", "self.uniforms >= expit(lam)", "self.uniforms <= expit(lam)"),
    Fault(
        "eqn_h_2", "dropout", "return kept / expit(-lam)[..., None, :] if", "return kept / expit(lam)[..., None, :] if"
    ),
    Fault("eqn_h_2", "dropout", "odds = np.exp(lam)", "odds = expit(lam)"),
    Fault("eqn_h_2", "dropout", "np.sum(c * self.D * v**2, axis=-1)", "np.sum(c * self.D * v, axis=-1)"),
    Fault("eqn_h_2", "dropout", "da * self.Xt + dc * self.D * v", "da * self.Xt - dc * self.D * v"),
    Fault("eqn_h_2_unscaled", "dropout", "return q, -p * q, p * q,", "return q, p * q, p * q,"),
    Fault("eqn_h_2_unscaled", "dropout", "p, q = expit(lam), expit(-lam)", "p, q = expit(-lam), expit(lam)"),
    Fault(
        "eqn_h_2_unscaled",
        "dropout",
        "expit(-lam)[..., None, :] if self.inverted else kept",
        "expit(-lam)[..., None, :]",
    ),
    Fault(
        "eqn_h_3",
        "regression",
        "np.sum(residual**2, axis=-1) / (2 * residual.shape[-1])",
        "np.sum(residual**2, axis=-1) / (2 * self.n)",
    ),
    Fault(
        "eqn_h_3",
        "regression",
        "np.vecmat(residual, self.X_valid) / residual.shape[-1]",
        "2 * np.vecmat(residual, self.X_valid) / residual.shape[-1]",
    ),
    Fault("eqn_h_4", "linear_network", "rows.append(np.vecmat(rows[-1], W))", "rows.append(np.matvec(W, rows[-1]))"),
    Fault(
        "eqn_h_4",
        "linear_network",
        "for W in reversed(matrices):\n            rows",
        "for W in matrices:\n            rows",
    ),
    Fault("eqn_h_4", "ridge", "[..., 0] / (2 * self.divisor) *", "[..., 0] / self.divisor *"),
    Fault(
        "eqn_h_4_jacobian",
        "linear_network",
        "np.vecmat(du, W) + np.vecmat(u, dW)\n        return du",
        "np.vecmat(du, W) + np.matvec(dW, u)\n        return du",
    ),
    Fault(
        "eqn_h_4_jacobian",
        "linear_network",
        "blocks.append(u_k[..., :, None] * z[..., None, :])",
        "blocks.append(z[..., :, None] * u_k[..., None, :])",
    ),
    Fault("eqn_h_4_jacobian", "ridge", "(self.s.derivative(lam) / self.divisor * v)", "(self.s.derivative(lam) * v)"),
)

FAULTS: tuple[Fault, ...] = (*APPENDIX_C, *APPENDIX_D, *APPENDICES_E_AND_F, *APPENDIX_G, *APPENDIX_H)
