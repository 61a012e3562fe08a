"""Faults that the claims beyond the paper must notice: slips of a person's hand, by module."""

from tests.reference.claims.planting import Fault, noticed_by

CV = "beyond.control_variate.updates"

FAULTS: tuple[Fault, ...] = (
    *noticed_by("unbiased", CV, "train, lam + eps, w0,", "train, lam, w0,"),
    *noticed_by(
        "unbiased small_scales at_rest moved",
        CV,
        "train, lam + eps, w0,",
        "train, lam + eps, w0 - alpha1 * g0,",
    ),
    *noticed_by("unbiased", CV, "gradient(eps, g - g0)", "gradient(lam + eps, g - g0)"),
    *noticed_by(
        "quadratic_covariance small_scales counterexample",
        CV,
        "gradient(eps, g - g0)",
        "gradient(eps, g)",
    ),
    *noticed_by(
        "quadratic_covariance at_rest",
        CV,
        "gradient(eps, g - g0)",
        "gradient(eps, g + g0)",
    ),
    *noticed_by("contraction", CV, "if method.normalised:", "if not method.normalised:"),
    *noticed_by("one_method", "rule.updates", "train.f(w0) + train.f.jvp(w0, dw)", "train.f(w0) - train.f.jvp(w0, dw)"),
    *noticed_by(
        "quadratic_covariance moved", "beyond.control_variate.variance", "...il,...kj->...ijkl", "...ij,...kl->...ijkl"
    ),
    *noticed_by(
        "quadratic_covariance", "beyond.control_variate.variance", "= sigma[..., None, :] ** 2", "= sigma[..., None, :]"
    ),
    *noticed_by(
        "quadratic_covariance",
        "beyond.control_variate.variance",
        "w0) @ Theta + problem.hess_wlam",
        "w0) @ Theta - problem.hess_wlam",
    ),
    *noticed_by(
        "normalised", "beyond.control_variate.variance", "sigma[..., None]) ** 2, axis", "sigma[..., None]), axis"
    ),
    *noticed_by(
        "normalised", "beyond.control_variate.variance", "np.sum(columns, axis=-1)\n", "0 * np.sum(columns, axis=-1)\n"
    ),
    *noticed_by(
        "small_scales",
        "beyond.control_variate.variance",
        "problem.gauss_newton(lam, w0) @",
        "problem.hess_ww(lam, w0) @",
    ),
    *noticed_by(
        "normalised contraction", "beyond.control_variate.normalised", "/ sigma[..., None, :] / sigma", "/ sigma"
    ),
    *noticed_by(
        "counterexample",
        "problems.ridge",
        "+ self.s(lam) / self.divisor * self.metric * v",
        "+ self.s(lam) / self.divisor * self.metric * v / 2",
    ),
    *noticed_by(
        "fresh_masks",
        "beyond.control_variate.masks",
        "(p * mean**2 + masked_neighbours *",
        "(mean**2 + masked_neighbours *",
    ),
    *noticed_by("fresh_masks", "beyond.control_variate.masks", "axis=-2) / problem.n**2", "axis=-2) / problem.n"),
    *noticed_by(
        "common_uniforms",
        "beyond.control_variate.masks",
        "masked_neighbours=1 + expit(lam)",
        "masked_neighbours=1 - expit(lam)",
    ),
    *noticed_by("common_uniforms", "beyond.control_variate.masks", "s**2 * p * q * squares", "s**2 * q * squares"),
    *noticed_by(
        "common_uniforms", "beyond.control_variate.masks", "s * (part + q * others)", "s * q * (part + others)"
    ),
    *noticed_by("fresh_masks", "problems.dropout", "/ expit(-lam)[..., None, :] if", "/ expit(lam)[..., None, :] if"),
    *noticed_by("fresh_masks", "problems.dropout", "return q, -p * q, p * q,", "return p, -p * q, p * q,"),
    *noticed_by("common_uniforms", "problems.dropout", "self.uniforms >= expit(lam)", "self.uniforms <= expit(lam)"),
    *noticed_by(
        "krylov",
        "beyond.estimators.solvers",
        "residual @ residual / square * p,",
        "square / (residual @ residual) * p,",
    ),
    *noticed_by(
        "krylov", "beyond.estimators.solvers", "u = u + square / curvature * p", "u = u + curvature / square * p"
    ),
    *noticed_by(
        "geometric", "beyond.estimators.solvers", "= term - alpha * product(term)", "= term + alpha * product(term)"
    ),
    *noticed_by(
        "geometric",
        "beyond.estimators.solvers",
        "for _ in range(k):\n        term",
        "for _ in range(k + 1):\n        term",
    ),
    *noticed_by("geometric", "beyond.estimators.solvers", "return alpha * total", "return total"),
    *noticed_by("krylov", "beyond.estimators.implicit", "hess_ww(lam, w)), g)", "hess_ww(0 * lam, w)), g)"),
    *noticed_by("krylov", "beyond.estimators.implicit", "1.0 + product, product)", "1.0 + 2 * product, product)"),
    *noticed_by(
        "geometric",
        "beyond.estimators.implicit",
        "lam, w) - inner.draw().cross_vec",
        "lam, w) + inner.draw().cross_vec",
    ),
    *noticed_by("unrolled", "beyond.estimators.implicit", "return self.alpha * g", "return g"),
    *noticed_by("priced", "beyond.estimators.implicit", "1.0 + product, product)", "1.0, product)"),
    *noticed_by(
        "priced", "beyond.estimators.implicit", "batch.hess_vec(lam, w, p), g,", "batch.problem.hess_vec(lam, w, p), g,"
    ),
    *noticed_by("krylov", "bilevel.problem", "np.vecmat(self.f.jvp(w, u),", "-np.vecmat(self.f.jvp(w, u),"),
    *noticed_by(
        "unrolled",
        "beyond.estimators.unrolling",
        "- self.alpha * batch.tangent(lam,",
        "+ self.alpha * batch.tangent(lam,",
    ),
    *noticed_by(
        "unrolled", "beyond.estimators.unrolling", "* Ha, total - self.alpha * Ba", "* Ha, total + self.alpha * Ba"
    ),
    *noticed_by(
        "unrolled",
        "beyond.estimators.unrolling",
        "K, T = self.steps(budget, inner.share, PRODUCT * inner.share)",
        "T, K = self.steps(budget, inner.share, PRODUCT * inner.share)",
    ),
    *noticed_by(
        "priced", "beyond.estimators.unrolling", "in reversed(trajectory[K - T :]):", "in reversed(trajectory):"
    ),
    *noticed_by("unrolled", "beyond.estimators.price", "w, Z.mT).mT + B", "w, Z.mT).mT - B"),
    *noticed_by("priced", "beyond.estimators.price", "* self.inner.share * len(lam)", "* self.inner.share"),
    *noticed_by(
        "named", "beyond.yardstick.predictions.assembly", '"the sign is wrong"): -g', '"the sign is wrong"): g'
    ),
    *noticed_by("named", "beyond.yardstick.predictions.solvers", "mu + delta", "mu + delta**2"),
    *noticed_by(
        "named",
        "beyond.yardstick.predictions.solvers",
        "plain = 1 - (1 - alpha * mu) ** k",
        "plain = 1 - (1 + alpha * mu) ** k",
    ),
    *noticed_by("named", "beyond.yardstick.predictions.solvers", "(old if stale else residual) + rho", "old + rho"),
    *noticed_by("columns_add_up", "numerics.normal_equations", "right = -p[..., None]", "right = p[..., None]"),
    *noticed_by("columns_add_up", "beyond.problems.grouped", "self.n / self.divisor)", "self.divisor / self.n)"),
    *noticed_by("least_of_rank_one rests_there", "beyond.theory.rank_one", "factors.u / sigma)", "factors.u)"),
    *noticed_by("least_of_rank_one", "beyond.theory.rank_one", "L.mT @ Theta * sigma", "L @ Theta * sigma"),
    *noticed_by(
        "least_of_rank_one", "beyond.theory.rank_one", "* (H @ off), axis=(-2, -1)) / 2", "* (H @ off), axis=(-2, -1))"
    ),
    *noticed_by(
        "least_of_rank_one",
        "beyond.theory.rank_one",
        ":, 0], s[..., :1] * Vh[..., 0, :])",
        ":, 1], s[..., 1:2] * Vh[..., 1, :])",
    ),
    *noticed_by("rests_there", "beyond.theory.rank_one", "g)[..., None] * c)", "g)[..., None] * self.u)"),
    *noticed_by(
        "what_it_costs", "beyond.theory.rank_one", ":, 0], s[..., :1] * Vh[..., 0, :])", ":, 0], Vh[..., 0, :])"
    ),
    *noticed_by(
        "what_it_costs",
        "beyond.theory.rank_one",
        "np.vecdot(self.r, g)[..., None] * self.u",
        "-np.vecdot(self.r, g)[..., None] * self.u",
    ),
    *noticed_by("best_response", "beyond.problems.logistic", "* self.T + smooth / self.classes)", "* self.T + smooth)"),
    *noticed_by("best_response", "beyond.problems.logistic", ":1]) / self.divisor", ":1]) / self.n"),
    *noticed_by("slopes", "beyond.problems.logistic", "* (1 / self.classes - self.T)", "* (1 - self.T)"),
    *noticed_by(
        "slopes", "beyond.problems.logistic", "(expit(lam[..., 1:2]) * expit(-lam[..., 1:2]))", "(expit(lam[..., 1:2]))"
    ),
    *noticed_by(
        "null_direction", "beyond.problems.logistic", "(Q * self.T[..., k, None]", "(self.T * self.T[..., k, None]"
    ),
    *noticed_by(
        "best_response",
        "beyond.problems.logistic",
        "np.matvec(self.T, np.exp(log_weights))",
        "np.matvec(self.T, np.exp(-log_weights))",
    ),
    *noticed_by("null_direction", "beyond.problems.logistic", "np.exp(lam[..., :1]) /", "np.exp(2 * lam[..., :1]) /"),
)
