"""Every claim that goes beyond the paper, numbered in the order in which they came."""

from reference.beyond.claims import estimators, grouped, softmax, yardstick
from reference.beyond.claims.control_variate import dynamics, masks, mean, variance
from reference.beyond.claims.theory import decoupled_decay, lag, response_rate, step_bound
from reference.claims.registry import entered_by

PARTS = (
    *(variance, dynamics, masks, estimators, yardstick, grouped, softmax),
    *(lag, step_bound, response_rate, mean, decoupled_decay),
)

CLAIMS = entered_by(PARTS)
