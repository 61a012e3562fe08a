"""The deep layer: Δ-STN for any PyTorch model, with the names and the order of `reference`.

Names are imported when they are asked for, so that `python -m deep` answers Ctrl-C, and says what is missing, while
PyTorch is still being imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deep.hyper.declared import Hyperparameter
    from deep.hyper.hyperparameters import Hyperparameters
    from deep.rates.find import dropout_rates
    from deep.rates.sequence import DropConnectLSTM, VariationalDropout
    from deep.responses.forward import register
    from deep.training.fit import fit
    from deep.training.schedule import Schedule
    from deep.tuner.tuner import Tuner

NO_TORCH = "deep/ needs PyTorch: pip install -e '.[deep]'"

__all__ = [
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
    "DropConnectLSTM": "rates.sequence",
    "Hyperparameter": "hyper.declared",
    "Hyperparameters": "hyper.hyperparameters",
    "Schedule": "training.schedule",
    "Tuner": "tuner.tuner",
    "VariationalDropout": "rates.sequence",
    "dropout_rates": "rates.find",
    "fit": "training.fit",
    "register": "responses.forward",
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
