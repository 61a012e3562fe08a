"""The longest step that diverges in no direction, for series and unrolled loops."""

import torch

from benchmarks.peers.torch_problem import TorchProblem


def safe_step(view: TorchProblem) -> float:
    """1/(the largest eigenvalue of ∂²L_T/∂w²) at the exact weights."""
    hessian = torch.func.hessian(view.train, argnums=1)(view.lam, view.best)
    return 1 / float(torch.linalg.eigvalsh(hessian)[-1])
