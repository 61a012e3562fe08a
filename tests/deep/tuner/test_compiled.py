"""A compiled `predict` runs the passes at w0 where no drop rate is tuned, and has the numbers of the model itself."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deep.hyper.declared import Hyperparameter
from deep.hyper.hyperparameters import Hyperparameters
from deep.rates.find import dropout_rates
from deep.tuner.tuner import Tuner
from reference.beyond.control_variate.updates import DELTA_STN_CV
from reference.console.command import UserError
from reference.rule.updates import CENTERED_STN, DELTA_STN, STN

pytestmark = pytest.mark.usefixtures("no_types_checked")

METHODS = [STN, CENTERED_STN, DELTA_STN, DELTA_STN_CV, None]
GRAPHS = {None: 4, CENTERED_STN: 4, DELTA_STN: 4, STN: 0, DELTA_STN_CV: 0}
"""How often the compiled graph runs in four inner steps: once in each step that has a pass at w0 alone."""


def net(rate: float) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(rate), nn.Linear(5, 3)).double()


def trained(method, rate: float, compiled: bool) -> tuple[torch.Tensor, int]:
    """What steps have moved, and how often a compiled graph has run."""
    model, runs = net(rate), []

    def backend(graph, inputs):
        def run(*args):
            runs.append(1)
            return graph(*args)

        return run

    def penalised(y, t):
        return F.cross_entropy(y, t) + (hyper["decay"] * tuner.squared_norm()).mean()

    hyper = Hyperparameters([*dropout_rates(model), Hyperparameter("decay", start=0.1)])
    predict = torch.compile(model, backend=backend) if compiled else model
    tuner = Tuner(model, hyper, penalised, F.cross_entropy, method=method, predict=predict, T_train=1)
    x, t = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64), torch.arange(6) % 3
    for _ in range(4):
        tuner.inner_step(x, t)
        if method is not None:
            tuner.outer_step(x, t)
    moved = [*tuner.net.w0, *tuner.net.Theta, tuner.hyper.lam, tuner.hyper.raw_sigma]
    return torch.cat([parameter.detach().flatten() for parameter in moved]), len(runs)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name if method else "plain")
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_a_compiled_predict_has_the_models_numbers(method, rate):
    torch.compiler.reset()
    wanted, _ = trained(method, rate, compiled=False)
    moved, runs = trained(method, rate, compiled=True)
    torch.testing.assert_close(moved, wanted, rtol=1e-9, atol=1e-11)
    assert runs == (0 if rate else GRAPHS[method])


@pytest.mark.parametrize("in_place", [True, False])
def test_a_compiled_model_is_refused_in_one_line(in_place):
    model = net(0.3)
    hyper = Hyperparameters(dropout_rates(model))
    if in_place:
        model.compile(backend="eager")
    else:
        model = torch.compile(model, backend="eager")
    with pytest.raises(
        UserError, match=r"^the model is compiled; give it as it was before[^\n]*predict=torch.compile\(model\)[^\n]*$"
    ):
        Tuner(model, hyper, F.cross_entropy)  # type: ignore[arg-type]
