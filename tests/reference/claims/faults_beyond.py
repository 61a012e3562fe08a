"""Faults that the claims beyond the paper must notice: slips of a person's hand, by module."""

from tests.reference.claims.planting import Fault, noticed_by

FAULTS: tuple[Fault, ...] = (
    *noticed_by("unbiased", "updates", "state.lam + eps, state.w0, state", "state.lam, state.w0, state"),
    *noticed_by(
        "unbiased small_scales at_rest moved",
        "updates",
        "state.lam + eps, state.w0, state",
        "state.lam + eps, state.w0 - alpha1 * g0, state",
    ),
    *noticed_by("unbiased", "updates", "state, eps, g, alpha1)", "state, state.lam + eps, g, alpha1)"),
    *noticed_by(
        "quadratic_covariance small_scales counterexample",
        "updates",
        "state.response.apply(eps)) - g0",
        "state.response.apply(eps))",
    ),
    *noticed_by(
        "quadratic_covariance at_rest", "updates", "state.response.apply(eps)) - g0", "state.response.apply(eps)) + g0"
    ),
    *noticed_by(
        "contraction", "updates", "if method.normalised else gradient", "if not method.normalised else gradient"
    ),
    *noticed_by("one_method", "updates", "train.f(w0) + train.f.jvp(w0, dw)", "train.f(w0) - train.f.jvp(w0, dw)"),
    *noticed_by("quadratic_covariance moved", "control_variate", "...il,...kj->...ijkl", "...ij,...kl->...ijkl"),
    *noticed_by("quadratic_covariance", "control_variate", "= sigma[..., None, :] ** 2", "= sigma[..., None, :]"),
    *noticed_by(
        "quadratic_covariance", "control_variate", "w0) @ Theta + problem.hess_wlam", "w0) @ Theta - problem.hess_wlam"
    ),
    *noticed_by("normalised", "control_variate", "sigma[..., None]) ** 2, axis", "sigma[..., None]), axis"),
    *noticed_by("normalised", "control_variate", "np.sum(columns, axis=-1)\n", "0 * np.sum(columns, axis=-1)\n"),
    *noticed_by("small_scales", "control_variate", "problem.gauss_newton(lam, w0) @", "problem.hess_ww(lam, w0) @"),
    *noticed_by("normalised contraction", "hypernet", "/ sigma[..., None, :] / sigma", "/ sigma"),
    *noticed_by(
        "counterexample",
        "ridge",
        "+ self.s(lam) / self.divisor * self.metric * v",
        "+ self.s(lam) / self.divisor * self.metric * v / 2",
    ),
    *noticed_by("fresh_masks", "mask_noise", "(p * mean**2 + masked_neighbours *", "(mean**2 + masked_neighbours *"),
    *noticed_by("fresh_masks", "mask_noise", "axis=-2) / problem.n**2", "axis=-2) / problem.n"),
    *noticed_by(
        "common_uniforms", "mask_noise", "masked_neighbours=1 + expit(lam)", "masked_neighbours=1 - expit(lam)"
    ),
    *noticed_by("common_uniforms", "mask_noise", "s**2 * p * q * squares", "s**2 * q * squares"),
    *noticed_by("common_uniforms", "mask_noise", "s * (part + q * others)", "s * q * (part + others)"),
    *noticed_by("fresh_masks", "dropout", "/ expit(-lam)[..., None, :] if", "/ expit(lam)[..., None, :] if"),
    *noticed_by("fresh_masks", "dropout", "return q, -p * q, p * q,", "return p, -p * q, p * q,"),
    *noticed_by("common_uniforms", "dropout", "self.uniforms >= expit(lam)", "self.uniforms <= expit(lam)"),
    *noticed_by(
        "krylov", "estimators.solvers", "residual @ residual / square * p,", "square / (residual @ residual) * p,"
    ),
    *noticed_by("krylov", "estimators.solvers", "u = u + square / curvature * p", "u = u + curvature / square * p"),
    *noticed_by("geometric", "estimators.solvers", "= term - alpha * product(term)", "= term + alpha * product(term)"),
    *noticed_by(
        "geometric", "estimators.solvers", "for _ in range(k):\n        term", "for _ in range(k + 1):\n        term"
    ),
    *noticed_by("geometric", "estimators.solvers", "return alpha * total", "return total"),
    *noticed_by("krylov", "estimators.implicit", "hess_ww(lam, w)), g)", "hess_ww(0 * lam, w)), g)"),
    *noticed_by("krylov", "estimators.implicit", "1.0 + product, product)", "1.0 + 2 * product, product)"),
    *noticed_by(
        "geometric", "estimators.implicit", "lam, w) - inner.draw().cross_vec", "lam, w) + inner.draw().cross_vec"
    ),
    *noticed_by("unrolled", "estimators.implicit", "return self.alpha * g", "return g"),
    *noticed_by("priced", "estimators.implicit", "1.0 + product, product)", "1.0, product)"),
    *noticed_by(
        "priced", "estimators.implicit", "batch.hess_vec(lam, w, p), g,", "batch.problem.hess_vec(lam, w, p), g,"
    ),
    *noticed_by("krylov", "problem", "np.vecmat(self.f.jvp(w, u),", "-np.vecmat(self.f.jvp(w, u),"),
    *noticed_by(
        "unrolled", "estimators.unrolling", "- self.alpha * batch.tangent(lam,", "+ self.alpha * batch.tangent(lam,"
    ),
    *noticed_by("unrolled", "estimators.unrolling", "* Ha, total - self.alpha * Ba", "* Ha, total + self.alpha * Ba"),
    *noticed_by(
        "unrolled",
        "estimators.unrolling",
        "K, T = self.steps(budget, inner.share, PRODUCT * inner.share)",
        "T, K = self.steps(budget, inner.share, PRODUCT * inner.share)",
    ),
    *noticed_by("priced", "estimators.unrolling", "in reversed(trajectory[K - T :]):", "in reversed(trajectory):"),
    *noticed_by("unrolled", "estimators.price", "w, Z.mT).mT + B", "w, Z.mT).mT - B"),
    *noticed_by("priced", "estimators.price", "* self.inner.share * len(lam)", "* self.inner.share"),
    *noticed_by("named", "yardstick.assembly", '"the sign is wrong"): -g', '"the sign is wrong"): g'),
    *noticed_by("named", "yardstick.solvers", "mu + delta", "mu + delta**2"),
    *noticed_by("named", "yardstick.solvers", "plain = 1 - (1 - alpha * mu) ** k", "plain = 1 - (1 + alpha * mu) ** k"),
    *noticed_by("named", "yardstick.solvers", "(old if stale else residual) + rho", "old + rho"),
    *noticed_by("columns_add_up", "normal_equations", "right = -p[..., None]", "right = p[..., None]"),
    *noticed_by("columns_add_up", "many", "self.n / self.divisor)", "self.divisor / self.n)"),
    *noticed_by("least_of_rank_one rests_there", "rank_one", "found.u / sigma)", "found.u)"),
    *noticed_by("least_of_rank_one", "rank_one", "L.mT @ Theta * sigma", "L @ Theta * sigma"),
    *noticed_by("least_of_rank_one", "rank_one", "* (H @ off), axis=(-2, -1)) / 2", "* (H @ off), axis=(-2, -1))"),
    *noticed_by(
        "least_of_rank_one", "rank_one", ":, 0], s[..., :1] * Vh[..., 0, :])", ":, 1], s[..., 1:2] * Vh[..., 1, :])"
    ),
    *noticed_by("rests_there", "rank_one", "g)[..., None] * c)", "g)[..., None] * self.u)"),
    *noticed_by("what_it_costs", "rank_one", ":, 0], s[..., :1] * Vh[..., 0, :])", ":, 0], Vh[..., 0, :])"),
    *noticed_by(
        "what_it_costs",
        "rank_one",
        "np.vecdot(self.r, g)[..., None] * self.u",
        "-np.vecdot(self.r, g)[..., None] * self.u",
    ),
    *noticed_by("best_response", "logistic", "* self.T + smooth / self.classes)", "* self.T + smooth)"),
    *noticed_by("best_response", "logistic", ":1]) / self.divisor", ":1]) / self.n"),
    *noticed_by("slopes", "logistic", "* (1 / self.classes - self.T)", "* (1 - self.T)"),
    *noticed_by("slopes", "logistic", "(expit(lam[..., 1:2]) * expit(-lam[..., 1:2]))", "(expit(lam[..., 1:2]))"),
    *noticed_by("null_direction", "logistic", "(Q * self.T[..., k, None]", "(self.T * self.T[..., k, None]"),
    *noticed_by(
        "best_response", "logistic", "np.matvec(self.T, np.exp(log_weights))", "np.matvec(self.T, np.exp(-log_weights))"
    ),
    *noticed_by("null_direction", "logistic", "np.exp(lam[..., :1]) /", "np.exp(2 * lam[..., :1]) /"),
)
