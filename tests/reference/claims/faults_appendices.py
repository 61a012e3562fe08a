"""Faults that the claims of the appendices must notice: slips of a person's hand, by module."""

from tests.reference.claims.planting import Fault, noticed_by

FAULTS: tuple[Fault, ...] = (
    *noticed_by("eqn_c_4 eqn_d_27", "rule.updates", "train.f(w0) + train.f.jvp(w0, dw)", "train.f(w0 + dw)"),
    *noticed_by(
        "eqn_c_25 eqn_g_7 eqn_g_8 eqns_g_7_and_g_8 eqn_g_9_and_3_9",
        "rule.updates",
        "return train.grad_w(lam, w0 + dw)",
        "return train.grad_w(lam, w0 - dw)",
    ),
    *noticed_by(
        "eqns_d_14_and_d_15 eqn_g_6",
        "rule.updates",
        "return train.grad_w(lam, w0 + dw)",
        "return train.grad_w(lam, w0)",
    ),
    *noticed_by("eqn_f_1 eqn_g_8", "rule.updates", "eps if method.centred else lam +", "lam +"),
    *noticed_by(
        "eqn_c_4 eqn_d_20",
        "problems.linear_network",
        "z = np.matvec(W, z)\n        return",
        "z = np.vecmat(z, W)\n        return",
    ),
    *noticed_by(
        "eqns_d_5_to_d_7",
        "problems.linear_network",
        "None, :] + u_k[..., :, None] * dz",
        "None, :] - u_k[..., :, None] * dz",
    ),
    *noticed_by(
        "eqn_d_20 eqn_h_4_jacobian",
        "problems.linear_network",
        "np.vecmat(u, dW)\n        return du",
        "np.matvec(dW, u)\n        return du",
    ),
    *noticed_by(
        "eqns_d_24_to_d_26", "problems.linear_network", "np.matvec(dW, z) + np.matvec(W, dz)", "np.matvec(W, dz)"
    ),
    *noticed_by(
        "eqn_h_4",
        "problems.linear_network",
        "rows.append(np.vecmat(rows[-1], W))",
        "rows.append(np.matvec(W, rows[-1]))",
    ),
    *noticed_by("eqn_h_4", "problems.linear_network", "reversed(matrices):\n           ", "matrices:\n           "),
    *noticed_by(
        "eqn_h_4_jacobian",
        "problems.linear_network",
        "blocks.append(u_k[..., :, None] * z[...,",
        "blocks.append(z[..., :, None] * u_k[...,",
    ),
    *noticed_by(
        "eqn_c_4", "rule.hypernet", "g[..., :, None] * c[..., None, :]", "g[..., :, None] * c[..., None, :] ** 2"
    ),
    *noticed_by("eqn_c_25", "rule.hypernet", "return np.matvec(self.Theta, c)", "return np.matvec(self.Theta, c**2)"),
    *noticed_by(
        "eqns_d_10_to_d_13",
        "rule.hypernet",
        "g[..., :, None] * c[..., None, :]",
        "g[..., :, None] * c[..., None, :] ** 2",
    ),
    *noticed_by(
        "eqns_d_16_to_d_19", "rule.hypernet", "return np.vecmat(g, self.Theta)", "return -np.vecmat(g, self.Theta)"
    ),
    *noticed_by("eqn_g_9", "rule.hypernet", "return np.matvec(self.Theta, c)", "return -np.matvec(self.Theta, c)"),
    *noticed_by("eqn_c_9", "problems.quadratic", "np.matvec(self.C, lam)) / 2", "np.matvec(self.C, lam))"),
    *noticed_by(
        "eqn_c_9", "problems.quadratic", "np.vecmat(w, self.B) + np.matvec(self.C, lam)", "np.vecmat(w, self.B)"
    ),
    *noticed_by("eqns_c_10_to_c_12", "problems.quadratic", "+ self.train.d)", "- self.train.d)"),
    *noticed_by(
        "eqns_c_13_to_c_20",
        "problems.quadratic",
        "np.matvec(self.B, lam) + self.d) +",
        "np.matvec(self.B, lam) - self.d) +",
    ),
    *noticed_by(
        "eqns_c_21_to_c_24 eqn_c_26", "problems.quadratic", "np.matvec(self.A, w)) / 2", "np.matvec(self.A, w))"
    ),
    *noticed_by(
        "eqn_c_25", "problems.quadratic", "+ np.matvec(self.B, lam) + self.d", "- np.matvec(self.B, lam) + self.d"
    ),
    *noticed_by(
        "eqns_c_10_to_c_12 eqn_c_26",
        "problems.quadratic",
        "J = -to_eight_digits(self.train.A",
        "J = to_eight_digits(self.train.A",
    ),
    *noticed_by("lemma_4", "bilevel.problem", "w) + self.f.curvature", "w) - self.f.curvature"),
    *noticed_by("eqns_c_31_and_c_32", "bilevel.problem", "self.f(w))\n\n    def hess_vec", "w)\n\n    def hess_vec"),
    *noticed_by(
        "eqns_d_24_to_d_26", "bilevel.problem", "outputs + self.f.curvature_vec", "outputs - self.f.curvature_vec"
    ),
    *noticed_by(
        "eqns_c_21_to_c_24 eqn_d_1 eqn_d_8 eqn_d_9 eqns_g_4_and_g_5 eqn_g_7 eqns_g_7_and_g_8",
        "rule.perturbation",
        ".reshape(-1, h) * sigma",
        ".reshape(-1, h) * sigma**2",
    ),
    *noticed_by("eqn_c_25", "rule.perturbation", ".reshape(-1, h) * sigma", ".reshape(-1, h) * np.sqrt(sigma)"),
    *noticed_by("lemma_4", "problems.saturating", "-2 * np.tanh(w)", "2 * np.tanh(w)"),
    *noticed_by(
        "lemma_4",
        "problems.ridge",
        "self.s(lam) / self.divisor * self.metric * v",
        "self.s(lam) / (2 * self.divisor) * self.metric * v",
    ),
    *noticed_by(
        "eqns_c_31_and_c_32 eqn_d_8 eqn_d_9 eqns_d_14_and_d_15",
        "problems.ridge",
        "/ self.divisor * self.metric * v)",
        "/ self.n * self.metric * v)",
    ),
    *noticed_by(
        "eqn_d_2 eqn_g_7",
        "problems.ridge",
        "+ self.s(lam) / self.divisor * self.metric * v",
        "- self.s(lam) / self.divisor * self.metric * v",
    ),
    *noticed_by(
        "eqn_d_2 eqns_g_1_to_g_3 eqns_g_4_and_g_5 eqn_g_2_no_minimum eqn_h_4",
        "problems.ridge",
        "[..., 0] / (2 * self.divisor) *",
        "[..., 0] / self.divisor *",
    ),
    *noticed_by(
        "eqn_d_20_penalty", "problems.ridge", "/ self.n + self.s(lam) / self.divisor * self.metric * v", "/ self.n"
    ),
    *noticed_by(
        "eqns_d_21_to_d_23",
        "problems.ridge",
        "self.s(lam) / self.divisor * self.metric * dv",
        "self.s(lam) / self.n * self.metric * dv",
    ),
    *noticed_by("eqn_f_1", "problems.ridge", "self.s.derivative(np.", "self.s(np."),
    *noticed_by("eqns_g_1_to_g_3", "problems.ridge", "axis=-1) / (2 * self.n)", "axis=-1) / self.n"),
    *noticed_by("eqn_g_6", "problems.ridge", "np.vecmat(residual, self.X) / self.n", "np.vecmat(residual, self.X)"),
    *noticed_by(
        "eqn_g_8 eqn_g_9",
        "problems.ridge",
        "+ self.s(lam) / self.divisor * self.metric * v",
        "+ self.s(lam) / self.divisor * self.metric * v / 2",
    ),
    *noticed_by("eqn_h_1", "problems.ridge", "return self.n / self.divisor *", "return self.divisor / self.n *"),
    *noticed_by("eqn_h_1", "problems.ridge", "[..., 0] / (2 * self.divisor) *", "[..., 0] / (2 * self.n) *"),
    *noticed_by(
        "eqn_h_1",
        "problems.ridge",
        "+ self.s(lam) / self.divisor * self.metric * v",
        "+ self.s(lam) / self.n * self.metric * v",
    ),
    *noticed_by("eqn_h_4_jacobian", "problems.ridge", "/ self.divisor * self.metric * v)", "* self.metric * v)"),
    *noticed_by(
        "eqn_d_1", "problems.fixed_points", "a = c * np.exp(lam + variance / 2)", "a = c * np.exp(lam + variance)"
    ),
    *noticed_by("eqn_d_8 eqn_d_9", "problems.fixed_points", "return a, a, (1", "return a, sigma * a, (1"),
    *noticed_by("eqns_d_21_to_d_23", "problems.fixed_points", "(1 + variance) * a", "a"),
    *noticed_by("eqns_g_7_and_g_8", "problems.fixed_points", "c * (lam - sigma)) if", "c * lam) if"),
    *noticed_by(
        "eqn_g_9_and_3_9", "problems.fixed_points", "c * np.ones_like(lam *", "c * (1 + sigma) * np.ones_like(lam *"
    ),
    *noticed_by("eqn_g_2_no_minimum", "problems.fixed_points", "c * (lam - sigma)) if", "c * lam) if"),
    *noticed_by(
        "eqns_d_3_and_d_4 eqn_d_9 eqns_d_10_to_d_13 eqns_d_16_to_d_19",
        "claims.instances",
        "* self.P / self.n",
        "* self.P",
    ),
    *noticed_by(
        "eqn_d_2",
        "claims.instances",
        "self.penalties(lam) * v**2, axis=-1)) / (2 * self.n)",
        "self.penalties(lam) * v**2, axis=-1)) / self.n",
    ),
    *noticed_by(
        "eqns_d_5_to_d_7",
        "claims.instances",
        "self.Xt + self.penalties(lam) * v)",
        "self.Xt + 2 * self.penalties(lam) * v)",
    ),
    *noticed_by("eqns_d_5_to_d_7", "problems.dropout", "self.X) + c * self.D * dv)", "self.X) + self.D * dv)"),
    *noticed_by("eqns_d_5_to_d_7", "problems.dropout", "p * q * (q - p)", "p * q * (p - q)"),
    *noticed_by("eqn_h_2", "problems.dropout", "self.uniforms >= expit(lam)", "self.uniforms <= expit(lam)"),
    *noticed_by("eqn_h_2", "problems.dropout", "/ expit(-lam)[..., None, :] if", "/ expit(lam)[..., None, :] if"),
    *noticed_by("eqn_h_2", "problems.dropout", "odds = np.exp(lam)", "odds = expit(lam)"),
    *noticed_by("eqn_h_2", "problems.dropout", "np.sum(c * self.D * v**2, axis=-1)", "np.sum(c * self.D * v, axis=-1)"),
    *noticed_by("eqn_h_2 eqn_h_2_unscaled", "problems.dropout", "self.inverted), -odds)", "self.inverted), odds)"),
    *noticed_by("eqn_h_2_unscaled", "problems.dropout", "(1.0 if self.inverted else expit(-lam))", "1.0"),
    *noticed_by(
        "eqn_h_2_unscaled", "problems.dropout", "p, q = expit(lam), expit(-lam)", "p, q = expit(-lam), expit(lam)"
    ),
    *noticed_by("eqn_h_2_unscaled", "problems.dropout", "None, :] if self.inverted else masked", "None, :]"),
    *noticed_by("eqn_d_27", "bilevel.networks", "return J.mT @ H @ J", "return J.mT @ J"),
    *noticed_by(
        "eqn_e_1", "rule.structured", "np.matvec(self.V, c) * self.b_response", "np.matvec(self.U, c) * self.b_response"
    ),
    *noticed_by(
        "eqn_e_1", "rule.structured", "* i].reshape(*w.shape[:-1], o, i)", "* i].reshape(*w.shape[:-1], i, o).mT"
    ),
    *noticed_by("eqn_e_1_counts", "rule.structured", "return 2 * p + 2 * h * c_out", "return 2 * p + h * c_out"),
    *noticed_by(
        "eqn_e_1_counts", "rule.structured", "p = c_out * (c_in * kernel**2 + 1)", "p = c_out * (c_in * kernel + 1)"
    ),
    *noticed_by("eqn_f_1", "bilevel.transforms", "* expit(lam) * expit(-lam)", "* expit(lam)"),
    *noticed_by("appendix_f", "bilevel.transforms", "+ (self.high - self.low) *", "+ self.high *"),
    *noticed_by("appendix_f", "bilevel.transforms", "return float(np.log(_inside", "return -float(np.log(_inside"),
    *noticed_by(
        "eqn_h_1",
        "bilevel.transforms",
        '__call__(self, lam: Float[ndarray, "..."]) -> Float[ndarray, "..."]:\n        return np.exp(lam)',
        '__call__(self, lam: Float[ndarray, "..."]) -> Float[ndarray, "..."]:\n        return np.exp(-lam)',
    ),
    *noticed_by("eqn_h_3", "problems.regression", "/ (2 * residual.shape[-1])", "/ (2 * self.n)"),
    *noticed_by(
        "eqn_h_3", "problems.regression", "np.vecmat(residual, self.X_valid)", "2 * np.vecmat(residual, self.X_valid)"
    ),
)
