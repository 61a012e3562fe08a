"""The deep layer: Δ-STN for any PyTorch model, with the names and the order of `reference`.

Names are imported when they are asked for, so that `python -m deep` answers Ctrl-C, and says what is missing, while
PyTorch is still being imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deep.declared import Hyperparameter
    from deep.dropout import dropout_rates
    from deep.hyperparameters import Hyperparameters
    from deep.layers import register
    from deep.schedule import Schedule
    from deep.sequence_dropout import DropConnectLSTM, VariationalDropout
    from deep.structured import Branch
    from deep.training import fit
    from deep.tuner import Tuner

NO_TORCH = "deep/ needs PyTorch: pip install -e '.[deep]'"

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

_MODULES = {
    "Branch": "structured",
    "DropConnectLSTM": "sequence_dropout",
    "Hyperparameter": "declared",
    "Hyperparameters": "hyperparameters",
    "Schedule": "schedule",
    "Tuner": "tuner",
    "VariationalDropout": "sequence_dropout",
    "dropout_rates": "dropout",
    "fit": "training",
    "register": "layers",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'deep' has no attribute {name!r}")
    try:
        return getattr(import_module(f"deep.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(NO_TORCH) from None
