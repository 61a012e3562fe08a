"""The yardstick's problems as JAX sees them, in the precision of λ."""

from typing import Any

import jax  # pyright: ignore[reportMissingImports]
import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
import numpy as np
from numpy import ndarray

from reference.beyond.yardstick.losses import Loss, losses

jax.config.update("jax_enable_x64", True)


def jax_problem(problem: Any, lam: ndarray) -> tuple[Loss, Loss, Any, Any]:
    """L_T and L_V as functions of (λ, w), λ, and the exact best response."""

    def array(values: ndarray) -> Any:
        return jnp.asarray(values, dtype=np.asarray(lam).dtype)

    train, valid = losses(problem, jnp, array)
    return train, valid, array(lam), array(problem.best_response(lam))
