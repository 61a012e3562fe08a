"""L_T(λ, w) = -(1/n) Σ_i c_{t_i} Σ_k q_ik log p_ik + (e^{λ_1} / 2·divisor) ‖w‖²: multinomial logistic regression.

    name      symbol           shape        meaning
    lam       λ                (..., h)     (λ_1), (λ_1, λ_2) or (λ_1, λ_2, one for each class); unconstrained
    c         -                ()           classes; labels t_i are 0, ..., c - 1
    decay     e^{λ_1}          (..., 1)     weight decay; where the divisor is n, scikit-learn's 1/C
    smooth    1/(1+e^{-λ_2})   (..., 1)     label smoothing, in (0, 1); 0 where h = 1
    c_k       e^{λ_{3+k}}      (..., c)     weight of class k = 0, ..., c - 1; 1 where h < 2 + c
    w         W                (..., m)     W (c, p), a row for each class and a column for each of p inputs: m = cp
    p         p_ik             (..., n, c)  softmax of the logits X Wᵀ
    q         q_ik             (..., n, c)  (1 - smooth) one-hot label + smooth / c
    Q         c_{t_i} q_ik     (..., n, c)  the targets as the loss sees them: row i sums to its class weight

Beyond the paper: the loss of its deep experiments, with a best response to rounding. The network is the
identity on W, as for ridge, so that linearising changes nothing: here Δ-STN is Centered STN. There is no intercept:
append a column of ones to X, which is then decayed like the others. The validation loss is plain cross entropy.

The class weights are one more than needed: all of them times a, with the decay times a, is a L_T and has the same r(λ).
They are kept, one for each class, since a user thinks of them so; Θ then has a null direction, (1, 0, 1, ..., 1).
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import ClassVar, TypeVar

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.special import expit

from reference.beyond.problems.multistart import adjoint, multistart
from reference.beyond.problems.newton import NotConverged, newton
from reference.beyond.problems.softmax import cross_entropy, cross_entropy_gradient, cross_entropy_hessian
from reference.bilevel.objective import Scalars, minibatch, real, unchecked
from reference.bilevel.optimum import Optimum
from reference.bilevel.problem import Problem
from reference.numerics.normal_equations import BACKWARD, TOLERANCE

Self = TypeVar("Self", bound="Logistic")


LOGITS = 1e-12
"""An error of the logits below this is none, as where the weights are 0."""


@dataclass(frozen=True)
class Logistic(Problem):
    """Softmax regression tuned by weight decay, label smoothing and class weights.

    Args:
        classes: c; labels are 0, ..., c - 1.
        divisor: of the decay, n as in H.1; a mini-batch (`rows`) keeps it.
        h: 1 (decay), 2 (and smoothing) or 2 + c (and a weight for each class).

    Raises:
        ValueError: data that do not go together, labels that are no class, inputs that are not finite, another h.

    Example, one row of each class at x = 1: nothing can be told apart, and r = 0 at any decay:
        >>> ones, t = np.ones((2, 1)), np.array([0, 1])
        >>> tuned = Logistic(ones, t, ones, t, classes=2, divisor=2.0, h=4)
        >>> abs(tuned.best_response(np.zeros(4)))
        array([0., 0.])

    With class 0 weighted by 3 its probability is 3/4, if the decay is next to nothing: the logits differ by log 3.
        >>> w = tuned.best_response(np.array([-12.0, -30.0, np.log(3), 0.0]))
        >>> (w[0] - w[1]).round(4), np.log(3).round(4)
        (np.float64(1.0986), np.float64(1.0986))
    """

    X: Float[ndarray, "... n p"]
    t: Int[ndarray, "... n"]
    X_valid: Float[ndarray, "... v p"]
    t_valid: Int[ndarray, "... v"]
    classes: int
    divisor: float
    h: int = 1

    bounds: ClassVar[tuple[float, float]] = (-10.0, 10.0)
    """For every coordinate: e^20 between the least decay and the largest class weight is as far as float64 goes."""

    def __post_init__(self) -> None:
        for name in ("X", "X_valid"):
            object.__setattr__(self, name, real(name, getattr(self, name)))
        if self.X.shape[:-1] != self.t.shape or self.X_valid.shape[:-1] != self.t_valid.shape:
            raise ValueError("X and t, or X_valid and t_valid, differ in their rows")
        if self.classes < 2:
            raise ValueError(f"classes = {self.classes}: there is nothing to tell apart; two at least")
        if self.X.shape[-1] != self.X_valid.shape[-1] or 0 in self.X.shape or 0 in self.X_valid.shape:
            raise ValueError("X and X_valid differ in their columns, or a set is empty")
        for labels in (self.t, self.t_valid):
            if labels.min() < 0 or labels.max() >= self.classes:
                raise ValueError(f"labels must lie between 0 and classes - 1 = {self.classes - 1}")
        if self.h not in (1, 2, 2 + self.classes):
            raise ValueError(f"h = {self.h}: it is 1, 2 or 2 + classes = {2 + self.classes}")

    @property
    def n(self) -> int:
        """Rows of the training data."""
        return self.X.shape[-2]

    @cached_property
    def T(self) -> Float[ndarray, "... n c"]:
        """One-hot training labels."""
        return np.eye(self.classes)[self.t]

    @cached_property
    def T_valid(self) -> Float[ndarray, "... v c"]:
        """One-hot validation labels."""
        return np.eye(self.classes)[self.t_valid]

    def rows(self: Self, rows: Int[ndarray, "... b"]) -> Self:
        """The same problem with its training data cut to a mini-batch; the replicates have rows of their own."""
        X, t = minibatch(self.X, self.t, rows)
        return unchecked(self, X=X, t=t)

    def decay(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... 1"]:
        """e^{λ_1} / divisor, its own derivative in λ_1."""
        return np.exp(lam[..., :1]) / self.divisor

    def row_weights(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... n 1"]:
        """c_{t_i}, each its own derivative in its class's λ."""
        log_weights = lam[..., 2:] if self.h > 2 else np.zeros(self.classes)
        return np.matvec(self.T, np.exp(log_weights))[..., None]

    def targets(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... n c"]:
        """Q = c_{t_i} ((1 - smooth) T + smooth / c)."""
        smooth = expit(lam[..., 1:2, None]) if self.h > 1 else 0.0
        return self.row_weights(lam) * ((1 - smooth) * self.T + smooth / self.classes)

    def targets_slopes(self, lam: Float[ndarray, "... h"]) -> list[Float[ndarray, "... n c"]]:
        """∂Q/∂λ_i for i = 2, ..., h: smoothing, then the class weights."""
        if self.h == 1:
            return []
        slope = (expit(lam[..., 1:2]) * expit(-lam[..., 1:2]))[..., None]
        smoothing = self.row_weights(lam) * slope * (1 / self.classes - self.T)
        Q = self.targets(lam)
        return [smoothing, *(Q * self.T[..., k, None] for k in range(self.h - 2))]

    def train_loss_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Scalars:
        return cross_entropy(self.X, self.targets(lam), v) + self.decay(lam)[..., 0] / 2 * np.sum(v**2, axis=-1)

    def train_grad_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        return cross_entropy_gradient(self.X, self.targets(lam), v) + self.decay(lam) * v

    def train_hess_vv(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m m"]:
        data = cross_entropy_hessian(self.X, self.targets(lam), v)
        return data + self.decay(lam)[..., None] * np.eye(v.shape[-1])

    def train_hess_vlam(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m h"]:
        """Column 1 is e^{λ_1} v / divisor; the others are the data's gradient, linear in Q, at ∂Q/∂λ_i."""
        others = [cross_entropy_gradient(self.X, slope, v) for slope in self.targets_slopes(lam)]
        return np.stack(np.broadcast_arrays(self.decay(lam) * v, *others), axis=-1)

    def valid_loss_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Scalars:
        return cross_entropy(self.X_valid, self.T_valid, v)

    def valid_grad_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        return cross_entropy_gradient(self.X_valid, self.T_valid, v)

    def valid_hess_vv(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m m"]:
        return cross_entropy_hessian(self.X_valid, self.T_valid, v)

    def best_response(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... m"]:
        """r(λ) by damped Newton steps from w = 0.

        The gradient, summed over classes, is the decay times Σ_k W_k, and so Σ_k W_k = 0 at r(λ). A small decay leaves
        little but rounding in that direction; it is taken out.

        Raises:
            ValueError: λ is not finite; fewer than eight digits are sure; or the decay has vanished beside rounding,
                and the weights are not unique, or run to infinity on separable data.
        """
        lam = np.asarray(lam, dtype=float)
        if not np.isfinite(lam).all():
            raise ValueError("λ holds NaN or infinity: there is no best response")
        lead = np.broadcast_shapes(self.X.shape[:-2], lam.shape[:-1])
        start = np.zeros((*lead, self.classes * self.X.shape[-1]))
        loss, grad, hess = (
            partial(self.train_loss_v, lam),
            partial(self.train_grad_v, lam),
            partial(self.train_hess_vv, lam),
        )
        try:
            w = newton(loss, grad, hess, start)
        except NotConverged as error:
            least = np.exp(lam[..., 0]).min()
            raise ValueError(
                f"{error}: a weight decay of {least:.1e} has vanished beside rounding, and the data alone do not give "
                "unique, finite weights (are the classes separable?)"
            ) from None
        r = self._centred(w)
        uncertain = self._uncertain(lam, r)
        logits = uncertain * np.linalg.norm(self.X, axis=-1).max(axis=-1)  # of r = 0 rounding leaves no digit
        if not ((uncertain <= TOLERANCE * np.linalg.norm(r, axis=-1)) | (logits <= LOGITS)).all():
            raise ValueError("fewer than eight digits of the best response are sure; raise the weight decay")
        return r

    def best_response_jacobian(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... m h"]:
        """Eqn. 2.3. Raises as `best_response` and `jacobian_at` do."""
        return self.jacobian_at(lam, self.best_response(lam))

    def jacobian_at(self, lam: Float[ndarray, "... h"], r: Float[ndarray, "... m"]) -> Float[ndarray, "... m h"]:
        """Eqn. 2.3 where r(λ) is known; its columns, as r(λ), have Σ_k W_k = 0.

        Raises:
            ValueError: fewer than eight digits of a column are sure, for the rounding of the Hessian and of
                ∂²L_T/∂w∂λ is too large beside the least curvature.
        """
        lam = np.asarray(lam, dtype=float)
        curvatures, vectors = np.linalg.eigh(self._centred_hessian(lam, r))
        if not (curvatures > 0).all():
            raise ValueError("the training loss is not curved in every direction; raise the weight decay")
        uncertain = self._uncertain(lam, r)[..., None, None]
        J = self._centred(-(vectors @ (vectors.mT @ self.train_hess_vlam(lam, r) / curvatures[..., None])).mT).mT
        least, largest = curvatures[..., :1, None], curvatures[..., -1:, None]
        lengths = np.linalg.norm(J, axis=-2, keepdims=True)
        longest = np.linalg.norm(self.X, axis=-1).max(axis=-1)[..., None, None]
        bound = BACKWARD * (largest * lengths + self._cross_terms(lam)) / least
        bound = bound + 10 * uncertain * longest * lengths  # of the Hessian, at r
        if not (bound <= TOLERANCE * lengths).all():
            raise ValueError("fewer than eight digits of the best-response Jacobian are sure; raise the weight decay")
        return J

    def _uncertain(self, lam: ndarray, r: ndarray) -> ndarray:
        """‖r - r(λ)‖, as ten times the length of one more Newton step: what the gradient's rounding makes of it."""
        step = np.linalg.solve(self._centred_hessian(lam, r), self.train_grad_v(lam, r)[..., None])[..., 0]
        return np.asarray(10 * np.linalg.norm(self._centred(step), axis=-1))

    def _centred_hessian(self, lam: ndarray, w: ndarray) -> ndarray:
        """∂²L_T/∂w², its curvature along Σ_k W_k (the decay alone) raised by the mean: nothing asked for lies there."""
        H, c, p = self.train_hess_vv(lam, w), self.classes, self.X.shape[-1]
        mean = np.trace(H, axis1=-2, axis2=-1)[..., None, None] / (c * p)
        return H + mean * np.kron(np.full((c, c), 1 / c), np.eye(p))

    def _cross_terms(self, lam: ndarray) -> ndarray:
        """What cancels in each column of ∂²L_T/∂w∂λ, but for the decay's, in which nothing does."""
        rows = np.linalg.norm(self.X, axis=-1)[..., None]
        sizes = [np.sum(rows * np.abs(slope), axis=(-2, -1)) / self.n for slope in self.targets_slopes(lam)]
        return np.stack(np.broadcast_arrays(np.zeros_like(lam[..., 0]), *sizes), axis=-1)[..., None, :]

    def _centred(self, w: ndarray) -> ndarray:
        W = w.reshape(*w.shape[:-1], self.classes, -1)
        return (W - W.mean(axis=-2, keepdims=True)).reshape(w.shape)

    def optimum(self) -> Optimum:
        """The best λ found within the box `bounds`, replicate by replicate (see `multistart`: not proved)."""
        lead = self.X.shape[:-2]
        answers = []
        for index in np.ndindex(lead):
            cut = {name: getattr(self, name)[index] for name in ("X", "t", "X_valid", "t_valid")}
            answers.append(multistart(adjoint(replace(self, **cut)), self.h, self.bounds))
        lam_star, where = (np.array(part) for part in zip(*answers, strict=True))
        return self.optimum_at(lam_star.reshape(*lead, self.h), where.reshape(lead))
