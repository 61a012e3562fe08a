"""Faults that the claims of sections 2 and 3 and of the algorithms must notice: slips of a person's hand, by module."""

from tests.reference.claims.planting import Fault, noticed_by

FAULTS: tuple[Fault, ...] = (
    *noticed_by("eqn_1_1", "numerics.normal_equations", "s / kappa * self.tau, self", "self.tau / kappa, self"),
    *noticed_by("theorem_3_stops eqn_2_3", "problems.ridge", "np.zeros_like(p), -slope)", "np.zeros_like(p), slope)"),
    *noticed_by("eqn_2_1", "bilevel.problem", "self.valid_grad_lam(lam, r) +", "self.valid_grad_lam(lam, r) -"),
    *noticed_by(
        "eqn_2_3",
        "bilevel.problem",
        "return -to_eight_digits(self.hess_ww",
        "return to_eight_digits(self.hess_ww",
    ),
    *noticed_by("eqn_2_4", "bilevel.problem", "return self.valid_grad_lam(lam, r) +", "return"),
    *noticed_by("eqn_3_2", "bilevel.problem", "self.gauss_newton(lam, w) +", "self.gauss_newton(lam, w) -"),
    *noticed_by("eqn_2_1 eqn_2_2", "problems.quadratic", "np.matvec(self.C, lam) +", "np.matvec(self.C, lam) -"),
    *noticed_by("theorem_3", "problems.quadratic", "return np.matvec(self.A, w) +", "return np.matvec(self.A, w) -"),
    *noticed_by("eqn_2_7_scale", "problems.regression", "self.X_valid / self.X_valid.shape[-2]", "self.X_valid"),
    *noticed_by("eqn_1_1", "problems.dropout", "odds = np.exp(lam)", "odds = np.exp(-lam)"),
    *noticed_by("eqn_3_4_penalties", "problems.dropout", "odds = np.exp(lam)", "odds = 1 + np.exp(lam)"),
    *noticed_by("eqn_3_2 observation_1", "bilevel.networks", "return J.mT @ H @ J", "return J.mT @ J"),
    *noticed_by("observation_1", "problems.linear_network", "np.vecmat(du, W) + np.vecmat(u, dW)", "np.vecmat(u, dW)"),
    *noticed_by(
        "eqn_3_4_network eqn_3_11 eqn_3_11_linear",
        "problems.linear_network",
        "np.vecmat(du, W) + np.vecmat(u, dW)",
        "np.vecmat(du, W) - np.vecmat(u, dW)",
    ),
    *noticed_by("eqn_3_11", "problems.saturating", "self.c / np.cosh(w) ** 2", "self.c / np.cosh(w)"),
    *noticed_by("eqn_2_6", "rule.hypernet", "return np.matvec(Phi, lam) +", "return np.matvec(Phi, lam) -"),
    *noticed_by("eqn_3_1", "rule.hypernet", "np.matvec(Theta, lam - lam0)", "np.matvec(Theta, lam + lam0)"),
    *noticed_by(
        "eqn_3_4 eqn_3_4_penalties observation_2 eqn_3_5",
        "rule.hypernet",
        "np.concatenate([sigma**2,",
        "np.concatenate([sigma,",
    ),
    *noticed_by(
        "eqn_3_5_centring",
        "rule.hypernet",
        "np.concatenate([sigma**2, np.zeros_like",
        "np.concatenate([sigma**2, np.ones_like",
    ),
    *noticed_by(
        "eqn_3_6 eqns_3_7_and_3_8 eqn_3_8_sign", "rule.hypernet", "value - alpha * getattr", "value + alpha * getattr"
    ),
    *noticed_by("eqn_3_13", "rule.hypernet", "FullResponse(g[..., :, None]", "FullResponse(-g[..., :, None]"),
    *noticed_by("algorithm_1_inner", "rule.hypernet", "value - alpha * getattr", "value - 2 * alpha * getattr"),
    *noticed_by(
        "eqn_3_14",
        "rule.structured",
        "np.matvec(self.V, c) * self.b_response,",
        "np.matvec(self.U, c) * self.b_response,",
    ),
    *noticed_by("eqn_3_14", "rule.structured", "np.vecmat(g_b * self.b_response,", "np.vecmat(g_b,"),
    *noticed_by("eqn_3_14_gradient", "rule.structured", "W_response=np.matvec(self.U,", "W_response=np.matvec(self.V,"),
    *noticed_by("eqn_3_14_gradient", "rule.structured", "V=(g_b * self.b_response)[...,", "V=g_b[...,"),
    *noticed_by("eqn_3_14_counts", "rule.structured", "return m_out * (2 * m_in", "return m_out * (m_in"),
    *noticed_by("eqn_2_7_entropy", "rule.perturbation", "np.log(2 * np.pi * np.e)", "np.log(2 * np.pi)"),
    *noticed_by("table_2", "rule.perturbation", "reshape(-1, h) * sigma", "reshape(-1, h) * np.sqrt(sigma)"),
    *noticed_by("eqn_2_5", "rule.updates", "method.centred else lam +", "method.centred else lam -"),
    *noticed_by("eqn_2_7", "rule.updates", "g_lam - tau / state.sigma", "g_lam - tau / state.sigma**2"),
    *noticed_by("eqn_2_7", "rule.updates", "eps / state.sigma * g_lam", "eps * g_lam"),
    *noticed_by("eqn_3_4 algorithm_2", "rule.updates", "return eps if method.centred else lam +", "return"),
    *noticed_by("eqn_3_6", "rule.updates", "method.centred else lam + eps", "method.centred else lam"),
    *noticed_by("eqn_3_6_mean eqn_3_8_sign", "rule.updates", "return eps if method.centred else", "return"),
    *noticed_by("eqns_3_7_and_3_8", "rule.updates", "method.centred else self.w0 +", "method.centred else self.w0 -"),
    *noticed_by(
        "eqn_3_8_sign algorithm_1_outer", "rule.updates", "valid_grad_lam(lam, w) +", "valid_grad_lam(lam, w) -"
    ),
    *noticed_by(
        "eqn_3_9 algorithm_1_inner", "rule.updates", "* train.grad_w(lam, w0)", "* train.grad_w(lam + eps, w0)"
    ),
    *noticed_by("eqn_3_9", "rule.updates", "if method.unperturbed:", "if method.linearised:"),
    *noticed_by(
        "theorem_3 theorem_3_stops eqn_3_11_linear",
        "rule.updates",
        "train.f(w0) + train.f.jvp(w0, dw)",
        "train.f(w0) - train.f.jvp(w0, dw)",
    ),
    *noticed_by(
        "eqns_3_12_and_3_13 eqn_3_13 algorithm_1_inner",
        "rule.updates",
        "train.f(w0) + train.f.jvp(w0, dw)",
        "train.f(w0 + dw)",
    ),
    *noticed_by("eqns_3_12_and_3_13", "rule.updates", "train_perturbed, lam + eps, w0,", "train_perturbed, lam, w0,"),
    *noticed_by("eqn_3_12", "rule.updates", "train.f(w0) + train.f.jvp(w0,", "train.f(w0) + 2 * train.f.jvp(w0,"),
    *noticed_by(
        "eqn_3_13", "rule.updates", "train.f.vjp(w0, train.train_grad_v", "train.f.vjp(w0 + dw, train.train_grad_v"
    ),
    *noticed_by(
        "algorithm_1_inner",
        "rule.updates",
        "train_perturbed, lam + eps, w0,",
        "train_perturbed, lam + eps, state.w0,",
    ),
    *noticed_by(
        "algorithm_1_inner",
        "rule.updates",
        "perturbed_gradient(method, train_perturbed, lam + eps, w0,",
        "perturbed_gradient(method, train, lam + eps, w0,",
    ),
    *noticed_by("algorithm_1_outer", "rule.updates", "state.lam + eps\n    g_lam", "state.lam\n    g_lam"),
    *noticed_by("algorithm_1_outer", "rule.updates", "eps / state.sigma * g_lam -", "eps / state.sigma * g_lam +"),
    *noticed_by("algorithm_1_outer", "rule.updates", "problem.valid_grad_lam(lam, w) + state", "state"),
    *noticed_by("algorithm_2", "rule.updates", "phi0 - alpha1 * g,", "phi0 + alpha1 * g,"),
    *noticed_by("algorithm_2", "rule.updates", "train.grad_w(lam, w0 + dw)", "train.grad_w(lam, w0)"),
    *noticed_by("eqn_2_7_scale", "problems.fixed_points", "np.sqrt(tau / curvature)", "tau / curvature"),
    *noticed_by("eqn_3_9_against_2_5 eqn_3_10", "problems.fixed_points", "(1 + variance) * a", "a"),
    *noticed_by("eqn_3_9_against_2_5", "problems.fixed_points", "return a, a, (1", "return a, sigma * a, (1"),
    *noticed_by("eqn_3_10", "problems.fixed_points", "np.exp(lam + variance / 2)", "np.exp(lam)"),
    *noticed_by("theorem_3_limit", "problems.fixed_points", "c * np.exp(lam + variance", "c * np.exp(lam + sigma"),
)
