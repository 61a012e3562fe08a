"""The deep layer: Δ-STN for any PyTorch model, with the names and the order of `reference`."""

from deep.declared import Hyperparameter
from deep.dropout import dropout_rates
from deep.hyperparameters import Hyperparameters
from deep.layers import register
from deep.schedule import Schedule
from deep.sequence_dropout import DropConnectLSTM, VariationalDropout
from deep.structured import Branch
from deep.training import fit
from deep.tuner import Tuner

__all__ = [
    "Branch",
    "DropConnectLSTM",
    "Hyperparameter",
    "Hyperparameters",
    "Schedule",
    "Tuner",
    "VariationalDropout",
    "dropout_rates",
    "fit",
    "register",
]
