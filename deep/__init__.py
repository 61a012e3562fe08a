"""The deep layer: Δ-STN for any PyTorch model, with the names and the order of `reference`."""

NO_TORCH = "deep/ needs PyTorch: pip install -e '.[deep]'"

try:
    from deep.declared import Hyperparameter
    from deep.dropout import dropout_rates
    from deep.hyperparameters import Hyperparameters
    from deep.layers import register
    from deep.schedule import Schedule
    from deep.sequence_dropout import DropConnectLSTM, VariationalDropout
    from deep.structured import Branch
    from deep.training import fit
    from deep.tuner import Tuner
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise

    def __getattr__(name: str):
        # Said when something is asked for, and not here, so that `python -m deep` can say it in its own way.
        if name in __all__:
            raise ImportError(NO_TORCH)
        raise AttributeError(f"module 'deep' has no attribute {name!r}")


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
