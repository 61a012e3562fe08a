"""How much of a model responds, and why the rest does not."""

from dataclasses import dataclass

from deep.tuner.hypernet import Hypernetwork


@dataclass(frozen=True)
class Coverage:
    """What responds to λ.

    Args:
        parameters: the share of trainable numbers that respond.
        layers: the share of modules with trainable parameters of which all respond.
        reasons: by name of a trainable parameter that does not respond.
        rates: drop rates that a dropout reads and that are not tuned: by name, or by the call where they are numbers.
    """

    parameters: float
    layers: float
    reasons: dict[str, str]
    rates: dict[str, float]

    @staticmethod
    def of(net: Hypernetwork) -> "Coverage":
        """The coverage of a model; before its first pass all of it is taken to respond."""
        responding = {name for name, _, _ in net}
        if net.looked:
            responding &= net.layouts.seen
        unseen = "no operation has used it in the first pass"
        reasons = {name: net.silent.get(name, unseen) for name in net.names if name not in responding}
        sizes = {name: w.numel() for name, w in net.names.items()}
        owners: dict[str, bool] = {}
        for name in net.names:
            owner = name.rpartition(".")[0]
            owners[owner] = owners.get(owner, True) and name in responding
        share = sum(sizes[name] for name in responding) / max(1, sum(sizes.values()))
        return Coverage(share, sum(owners.values()) / max(1, len(owners)), reasons, dict(net.idle_rates))

    def __str__(self) -> str:
        line = f"{self.parameters:.1%} of the parameters respond, {self.layers:.1%} of the layers in whole"
        if self.reasons:
            name, reason = next(iter(self.reasons.items()))
            more = f" and {len(self.reasons) - 1} more" if len(self.reasons) > 1 else ""
            line += f"; not {name} ({reason}){more}"
        if idle := [f"{name} at {rate:g}" for name, rate in self.rates.items() if rate]:
            more = f" and {len(idle) - 1} more" if len(idle) > 1 else ""
            line += f"; dropout not tuned: {idle[0]}{more}"
        return line
