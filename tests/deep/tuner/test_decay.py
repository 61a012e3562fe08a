"""The optimizer's own weight decay: Θ converges to the Jacobian of ridge in its metric, λ to the optimum."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from numpy import ndarray
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

from deep import Hyperparameter, Hyperparameters, Tuner
from deep.tuner.gradients import UpdatePass, gradients
from reference.beyond.control_variate.updates import DELTA_STN_CV
from reference.bilevel.optimum import bounded_optimum
from reference.console.command import UserError
from reference.problems.ridge import Ridge
from reference.rule.updates import CENTERED_STN, DELTA_STN, STN, Method
from tests.deep.strategies import close, half_square

pytestmark = pytest.mark.usefixtures("no_types_checked")

N, M, GAMMA, SIGMA = 12, 3, 0.3, 1e-3


def data(rows: int = N, seed: int = 0) -> tuple[ndarray, ndarray]:
    """XᵀX/n has the eigenvalues 0.6, 1 and 1.6, so that all that descends gets there soon."""
    rng = np.random.default_rng(seed)
    U, _, Vt = np.linalg.svd(rng.normal(size=(rows, M)), full_matrices=False)
    X = U @ np.diag(np.sqrt([0.6 * rows, rows, 1.6 * rows])) @ Vt
    return X, X @ [1.0, -2.0, 0.5] + 3 * rng.normal(size=rows)


def tensors(X: ndarray, t: ndarray) -> tuple[Tensor, Tensor]:
    return torch.tensor(X), torch.tensor(t)[:, None]


def tuner(w0: Callable[[list[nn.Parameter]], Optimizer], method: Method | None = DELTA_STN, **options) -> Tuner:
    torch.manual_seed(0)
    hyper = Hyperparameters(
        [Hyperparameter("weight_decay", start=options.pop("start", GAMMA))], sigma=options.pop("sigma", SIGMA)
    )
    return Tuner(nn.Linear(M, 1, bias=False).double(), hyper, half_square, w0=w0, method=method, sigma=None, **options)


def in_metric(made: Tuner, decoupled: bool) -> Ridge:
    """Ridge in the metric of the optimizer's present state."""
    D = np.ones(M)
    if decoupled:
        (state,) = made.optimisers["w0"].state.values()
        (group,) = made.optimisers["w0"].param_groups
        v = state["max_exp_avg_sq"] / (1 - group["betas"][1] ** float(state["step"]))
        D = (v.sqrt() + group["eps"]).numpy().reshape(-1)
    X, t = data()
    return Ridge(X, t, *data(40, 1), divisor=1.0, metric=D)


OPTIMIZERS: dict[str, tuple[Callable[..., Optimizer], bool]] = {
    "SGD": (partial(SGD, lr=0.6), False),
    # The largest v stays where the first steps have left it: a metric that does not follow w.
    "AdamW": (partial(AdamW, lr=0.5, amsgrad=True, betas=(0.5, 0.9)), True),
}
STILL = partial(SGD, lr=0.0)


def learn(made: Tuner, steps: int) -> None:
    """Descend in Θ at the present w0, at ε = ±σ on two copies of the data, whose mean is exact to the order σ²."""
    X, t = data()
    x, target = tensors(np.tile(X, (2, 1)), np.tile(t, 2))
    z = torch.ones(2 * N, 1).double()
    z[N:] = -1.0
    assert made.method is not None
    kind = "linearised" if made.method.linearised else "weights"
    descent = SGD(made.net.Theta, lr=0.3 * SIGMA**-2)
    for _ in range(steps):
        seen = gradients(UpdatePass(kind, ("Theta",)), made.method, made.net, made.training, z, x, target, 2 * N)
        for parameter, gradient in zip(made.net.Theta, seen.gradients, strict=True):
            parameter.grad = gradient
        descent.step()


def settled(made: Tuner, steps: int) -> Tuner:
    """w0 after so many steps of its own optimizer; U = 1, so that W_response has Θ's size."""
    with torch.no_grad():
        next(iter(made.net))[2].U.fill_(1.0)
    for _ in range(steps):
        made.inner_step(*tensors(*data()))
    return made


@pytest.mark.parametrize("method", [CENTERED_STN, DELTA_STN], ids=lambda method: method.slug)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_theta_converges_to_the_jacobian_in_the_optimizers_metric(name: str, method: Method) -> None:
    """And w0 to r(λ) of the penalised problem, of which the loss itself knows nothing."""
    factory, decoupled = OPTIMIZERS[name]
    made = settled(tuner(factory, method, Theta=STILL), 130 if decoupled else 40)
    learn(made, 120 if decoupled else 90)
    problem, lam = in_metric(made, decoupled), made.hyper.lam.detach().double().numpy()
    close(made.net.w0[0].reshape(-1), problem.best_response(lam), 1e-6)
    response = next(iter(made.net))[2]
    close((response.U[0, 0] * response.response).reshape(-1), problem.best_response_jacobian(lam)[:, 0], 1e-5)


@pytest.mark.parametrize("eps_per", ["example", "batch"])
def test_the_control_variates_term_has_the_penaltys_differential(eps_per: str) -> None:
    """With it Θ's gradient vanishes like σ², without it like σ: the penalty is in both passes, or in neither."""
    sizes = []
    for sigma in (1e-5, 1e-4):
        made = tuner(partial(SGD, lr=0.1), DELTA_STN_CV, sigma=sigma, eps_per=eps_per, Theta=STILL)
        with torch.no_grad():
            next(iter(made.net))[2].U.fill_(1.0)
        made.optimisers["Theta"].register_step_pre_hook(
            lambda *_, made=made: sizes.append(sum(float(p.grad.square().sum()) for p in made.net.Theta) ** 0.5)  # type: ignore
        )
        made.inner_step(*tensors(*data()))
    np.testing.assert_allclose(np.log10(sizes[1] / sizes[0]), 2.0, atol=0.05)


def test_lam_goes_to_the_optimum_of_ridge_in_the_metric() -> None:
    factory = OPTIMIZERS["AdamW"][0]
    made = settled(tuner(factory, Theta=STILL, lam=partial(SGD, lr=80.0), tau=0.0, start=0.08), 120)
    learn(made, 60)
    for _ in range(7):
        for _ in range(15):
            made.inner_step(*tensors(*data()))
        learn(made, 15)
        made.outer_step(*tensors(*data(40, 1)))
    problem = in_metric(made, True)
    (best,), where = bounded_optimum(problem.outer_loss, problem.hypergradient, (-8.0, 3.0))
    assert where == "interior"
    np.testing.assert_allclose(made.hyper.lam.detach().numpy(), best, atol=0.02)


@pytest.mark.parametrize("method", [None, DELTA_STN])
def test_the_optimizer_reads_the_rate_at_each_step(method: Method | None) -> None:
    """A step of SGD on a loss without a gradient is w ← (1 - α γ) w, at the γ of the moment."""
    made = tuner(partial(SGD, lr=0.1), method)
    w = made.net.w0[0]
    for gamma in (0.3, 2.0):
        made.hyper.set({"weight_decay": gamma})
        before = w.detach().clone()
        made.inner_step(torch.zeros(4, M).double(), torch.zeros(4, 1).double())
        close(w, (1 - 0.1 * gamma) * before, 1e-6)


def test_groups_without_decay_stay_so_unless_none_has_any() -> None:
    def groups(parameters: list[nn.Parameter], first: float) -> Optimizer:
        return AdamW(
            [{"params": parameters[:1], "weight_decay": first}, {"params": parameters[1:], "weight_decay": 0.0}]
        )

    x, t = torch.ones(4, M), torch.ones(4, 1)
    for first, wanted in ((0.1, [GAMMA, 0.0]), (0.0, [GAMMA, GAMMA])):
        hyper = Hyperparameters([Hyperparameter("weight_decay", start=GAMMA)])
        made = Tuner(nn.Linear(M, 1), hyper, half_square, w0=partial(groups, first=first))
        made.inner_step(x, t)
        assert [group["weight_decay"] for group in made.optimisers["w0"].param_groups] == pytest.approx(wanted)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, RMSprop, Adagrad])
def test_any_optimizer_of_torch_with_a_decay_is_taken(kind: type[Optimizer]) -> None:
    made = tuner(partial(kind, lr=0.01))  # type: ignore
    for _ in range(3):
        assert made.inner_step(*tensors(*data())).loss.isfinite()


class Other(SGD):
    """An optimizer of somebody else's."""


@pytest.mark.parametrize(
    ("w0", "method", "message"),
    [
        (partial(Other, lr=0.1), DELTA_STN, "the metric in which w0=Other decays weights is not known"),
        (partial(LBFGS), DELTA_STN, "w0=LBFGS"),
        (partial(SGD, lr=0.1), STN, "which this method's w0 is not alone in answering"),
        (torch.optim.Rprop, DELTA_STN, "w0=Rprop has no weight decay; choose another optimizer"),
    ],
)
def test_a_decay_that_cannot_be_tuned_is_one_line(w0, method: Method, message: str) -> None:
    with pytest.raises(UserError, match=message):
        tuner(w0, method)


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.999])
def test_after_one_step_adamws_metric_is_the_size_of_the_one_gradient(beta: float) -> None:
    """√v̂ + e with v̂ = (1 - β₂) g²/(1 - β₂): without its bias correction it would be less by √(1 - β₂)."""
    x, t = tensors(*data())
    tuned = tuner(lambda parameters: AdamW(parameters, lr=0.01, betas=(0.9, beta), eps=1e-3))
    assert tuned.decay is not None
    w = tuned.net.w0[0]
    (g,) = torch.autograd.grad(half_square(x @ w.mT, t), w)
    tuned.inner_step(x, t)
    ((parameter, metric),) = tuned.decay._metrics()
    assert parameter is w
    close(metric, g.abs() + 1e-3)
