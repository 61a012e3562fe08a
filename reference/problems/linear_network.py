"""Eqn. H.4: L_T(λ, w) = (1/2n) ‖y(X; w) - t‖² + (s(λ)/2n) ‖∂y/∂X‖², y(x) = W_{d+1} W_d ··· W_1 x: ridge in v.

    name     symbol                     shape
    w        (W_1, ..., W_d, W_{d+1})   (..., d m² + m)   flattened in this order; W_{d+1} is one row
    v        W_{d+1} ··· W_1            (..., m)          the input Jacobian ∂y/∂x: predictions are Xv

To the letter ‖∂y/∂X‖² is a sum over all n rows of X, as the data term is: n‖v‖², and H.4 is figure 8's undivided ridge
in v (`divisor=1.0`). With one row's ‖v‖² it is H.1 in v (`divisor=n`). The second at λ + log n is the first at λ: the
best responses are the same, the steps of a method are not. Choice (README): both are run.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.bilevel.networks import Network
from reference.problems.ridge import Ridge


@dataclass(frozen=True)
class Product(Network):
    """v = W_{d+1} W_d ··· W_1, with `depth` = d square matrices of `width` m and an output row.

    Example, one hidden layer W_1 = 2I and W_2 = (1, 3):
        >>> Product(depth=1, width=2)(np.array([2.0, 0.0, 0.0, 2.0, 1.0, 3.0]))
        array([2., 6.])
    """

    depth: int
    width: int

    def unflatten(self, w: Float[ndarray, "... p"]) -> tuple[list[ndarray], Float[ndarray, "... m"]]:
        """The matrices [W_1, ..., W_d], each (..., m, m), and the row W_{d+1} (..., m)."""
        m, d = self.width, self.depth
        matrices = w[..., : d * m * m].reshape(*w.shape[:-1], d, m, m)
        return [matrices[..., k, :, :] for k in range(d)], w[..., d * m * m :]

    def flatten(self, matrices: list[ndarray], row: Float[ndarray, "... m"]) -> Float[ndarray, "... p"]:
        """The inverse of `unflatten`."""
        return np.concatenate([M.reshape(*M.shape[:-2], -1) for M in matrices] + [row], axis=-1)

    def left(self, matrices: list[ndarray], row: ndarray) -> list[ndarray]:
        """The rows u_k = W_{d+1} ··· W_{k+1} that stand to the left of W_k, for k = 0, ..., d; u_0 is v."""
        rows = [row]
        for W in reversed(matrices):
            rows.append(np.vecmat(rows[-1], W))
        return rows[::-1]

    def __call__(self, w: Float[ndarray, "... p"]) -> Float[ndarray, "... m"]:
        return self.left(*self.unflatten(w))[0]

    def jvp(self, w: Float[ndarray, "... p"], dw: Float[ndarray, "... p"]) -> Float[ndarray, "... m"]:
        """Σ_k W_{d+1} ··· ΔW_k ··· W_1."""
        (matrices, row), (d_matrices, d_row) = self.unflatten(w), self.unflatten(dw)
        u, du = row, d_row
        for W, dW in zip(reversed(matrices), reversed(d_matrices), strict=True):
            u, du = np.vecmat(u, W), np.vecmat(du, W) + np.vecmat(u, dW)
        return du

    def vjp(self, w: Float[ndarray, "... p"], g: Float[ndarray, "... m"]) -> Float[ndarray, "... p"]:
        """∂(gᵀv)/∂W_k = u_k z_kᵀ, where z_k = W_{k-1} ··· W_1 g stands to the right of W_k."""
        matrices, row = self.unflatten(w)
        u, z, blocks = self.left(matrices, row), g, []
        for W, u_k in zip(matrices, u[1:], strict=True):
            blocks.append(u_k[..., :, None] * z[..., None, :])
            z = np.matvec(W, z)
        return self.flatten(blocks, z)

    def curvature(self, w: Float[ndarray, "... p"], g: Float[ndarray, "... m"]) -> Float[ndarray, "... p p"]:
        """One column for each weight."""
        return self.curvature_vec(w[..., None, :], g[..., None, :], np.eye(w.shape[-1]))

    def curvature_vec(
        self, w: Float[ndarray, "... p"], g: Float[ndarray, "... m"], dw: Float[ndarray, "... p"]
    ) -> Float[ndarray, "... p"]:
        """∂/∂w of `vjp` along Δw: the product rule on u_k z_kᵀ."""
        (matrices, row), (d_matrices, d_row) = self.unflatten(w), self.unflatten(dw)
        u, du = self.left(matrices, row), [d_row]
        for W, dW, u_k in zip(reversed(matrices), reversed(d_matrices), reversed(u[1:]), strict=True):
            du.append(np.vecmat(du[-1], W) + np.vecmat(u_k, dW))
        z, dz, blocks = g, np.zeros_like(g), []
        for W, dW, u_k, du_k in zip(matrices, d_matrices, u[1:], du[::-1][1:], strict=True):
            blocks.append(du_k[..., :, None] * z[..., None, :] + u_k[..., :, None] * dz[..., None, :])
            z, dz = np.matvec(W, z), np.matvec(dW, z) + np.matvec(W, dz)
        return self.flatten(blocks, dz)


@dataclass(frozen=True)
class LinearNetwork(Ridge):
    """A linear network with Jacobian-norm penalty: ridge's losses of v, behind the network v = W_{d+1} ··· W_1.

    The best response in w is not unique, so Jacobians are compared in v, where they are.
    """

    depth: int = 5

    @cached_property
    def f(self) -> Product:  # type: ignore[override]
        """w -> v."""
        return Product(self.depth, self.X.shape[-1])

    def best_response(self, lam: Float[ndarray, "... 1"]) -> Float[ndarray, "... p"]:
        """One of the many w with f(w) = v*(λ): identity matrices and the output row v*."""
        v = self.best_output(lam)
        eye = np.broadcast_to(np.eye(v.shape[-1]), (*v.shape, v.shape[-1]))
        return self.f.flatten([eye] * self.depth, v)

    def best_response_jacobian(self, lam: Float[ndarray, "... 1"]) -> Float[ndarray, "... p 1"]:
        """Eqn. 2.3 with the least norm, Θ = J_vw⁺ dv*/dλ: the Hessian at r(λ) is Gauss-Newton's, of rank m."""
        w = self.best_response(lam)
        dv = self.best_output_jacobian(lam)[..., 0]
        # J_vw J_vwᵀ = I + depth ‖v*‖² I where the square matrices are the identity.
        return (self.f.vjp(w, dv) / (1 + self.depth * np.sum(self.f(w) ** 2, axis=-1, keepdims=True)))[..., None]
