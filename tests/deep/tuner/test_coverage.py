"""What responds, which drop rates are not tuned, and the line that says so."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deep.hyper.declared import Hyperparameter
from deep.hyper.hyperparameters import Hyperparameters
from deep.rates.find import dropout_rates
from deep.tuner.coverage import Coverage
from deep.tuner.tuner import Tuner


class Rates(nn.Module):
    """A model with a dropout of every kind: declared, not declared, zero, and at numbers in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.zero = nn.Dropout(0.3), nn.Dropout(0.2), nn.Dropout(0.0)
        self.linear = nn.Linear(4, 4)
        self.unread = 0.7

    def forward(self, x: Tensor) -> Tensor:
        q = self.zero(self.second(self.first(self.linear(x))))[:, None]
        q = F.dropout(q, 0.15, self.training) + F.alpha_dropout(q, 0.4) + F.dropout(q, 0.6, training=False)
        return F.scaled_dot_product_attention(q, q, q, dropout_p=0.25 if self.training else 0.0)[:, 0]


def coverage_of(hyper: Hyperparameters, model: nn.Module) -> Coverage:
    tuner = Tuner(model, hyper, F.cross_entropy)
    tuner.inner_step(torch.randn(5, 4), torch.arange(5) % 4)
    return tuner.coverage()


def test_every_drop_rate_that_a_dropout_reads_and_that_is_not_tuned_is_named() -> None:
    """alpha_dropout and the last dropout of `Rates` are not in training, and drop nothing."""
    coverage = coverage_of(Hyperparameters([Hyperparameter("first", start=0.3, high=0.95)]), Rates())
    attention = "scaled_dot_product_attention(..., 0.25)"
    assert coverage.rates == {"second": 0.2, "zero": 0.0, "dropout(..., 0.15)": 0.15, attention: 0.25}
    assert str(coverage).endswith("; dropout not tuned: second at 0.2 and 2 more")


def test_where_all_rates_are_tuned_the_line_says_nothing_of_them() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3), nn.Dropout(0.0))
    coverage = coverage_of(Hyperparameters(dropout_rates(model)), model)
    assert coverage.rates == {"2": 0.0}
    assert str(coverage) == "100.0% of the parameters respond, 100.0% of the layers in whole"
