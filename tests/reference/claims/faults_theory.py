"""Faults that the claims on `reference.beyond.theory` and on the noise of the steps must notice."""

from tests.reference.claims.planting import Fault, noticed_by

LAG, BOUND, RATE, DECAY = (
    "beyond.theory.lag",
    "beyond.theory.step_bound",
    "beyond.theory.response_rate",
    "beyond.theory.decoupled_decay",
)
CV = "beyond.control_variate.updates"
W0_STEP = "w0 = w0 - alpha1 * train.grad_w(lam, w0)"

FAULTS: tuple[Fault, ...] = (
    *noticed_by("characteristic_polynomial", LAG, "(1 - alpha1 * a) ** T_train,", "(1 - alpha1 * a) ** (T_train + 1),"),
    *noticed_by("characteristic_polynomial", LAG, "(1 - c) / (z - c), Gamma)", "c / (z - c), Gamma)"),
    *noticed_by("characteristic_polynomial", LAG, "-alpha2 * J.T @ H @ P", "-alpha2 * J.T @ H"),
    *noticed_by("heavy_ball", LAG, "float((1 - root) / (1 + root) /", "float((1 - root) /"),
    *noticed_by("heavy_ball", LAG, "root = np.sqrt(np.linalg.eigvalsh(", "root = (np.linalg.eigvalsh("),
    *noticed_by("commuting", LAG, "np.linalg.solve(eye + P, eye - P)", "np.linalg.solve(eye, eye - P)"),
    *noticed_by("one_draw", BOUND, "2 / ((1 + (h + 1) / n) * curvature)", "2 / ((1 + h / n) * curvature)"),
    *noticed_by("many_draws", BOUND, "+ step**2 * (1 + (h + 1) / n)", "+ step**2 * (1 + (h + 2) / n)"),
    *noticed_by("many_draws", BOUND, "alpha**2 * (h + 1) / n *", "alpha**2 * (h + 1) *"),
    *noticed_by("curvature", RATE, "return 2 * np.sum(X**2", "return np.sum(X**2"),
    *noticed_by("stops", RATE, "-np.linalg.solve(G, B)[..., 0]", "np.linalg.solve(G, B)[..., 0]"),
    *noticed_by("stops", RATE, "step * (B + G @ Theta)", "step * (B - G @ Theta)"),
    *noticed_by(
        "fixed_metric",
        DECAY,
        "(m_hat / self.metric(moments) + self.gamma * w)",
        "((m_hat + self.gamma * w) / self.metric(moments))",
    ),
    *noticed_by("fixed_metric", DECAY, "np.maximum(moments.largest, square)", "square"),
    *noticed_by("fixed_metric", "problems.ridge", "return self.metric * np.ones(", "return np.ones("),
    *noticed_by("full_batch", DECAY, "return e / (1 - share)", "return e * (1 + share)"),
    *noticed_by("full_batch", DECAY, "full_batch_metric(w, gamma, e) ** 2 / e", "full_batch_metric(w, gamma, e)"),
    *noticed_by("full_batch", DECAY, "np.sum(-np.abs(w) - np.log1p(", "np.sum(-np.log1p("),
    *noticed_by("moved_mean", "rule.updates", W0_STEP, W0_STEP.replace("w0 -", "w0 +")),
    *noticed_by(
        "minibatches", "beyond.control_variate.variance", "return within + squares - np.sum(", "return within - np.sum("
    ),
    *noticed_by("nonlinear_steps", CV, "Theta.gradient(eps, g - g0)", "Theta.gradient(eps, g)"),
    *noticed_by(
        "algorithm_1_outer_noise",
        "rule.updates",
        "state.response.adjoint(problem.valid_grad_w(lam, w))",
        "state.response.adjoint(problem.valid_grad_w(lam, state.w0))",
    ),
)
