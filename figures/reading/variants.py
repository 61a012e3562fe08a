"""What a line or a row is called: a method at a perturbation scale, the paper's four at their own and those beyond.

name       meaning
Variant    a method and σ, None for the experiment's own
CV         Δ-STN with the control variate; dividing Θ's step by σ² changes nothing at σ = 1
CV_SMALL   the same at σ = 0.3
"""

from dataclasses import asdict, dataclass

from reference.beyond.control_variate.updates import DELTA_STN_CV_NORMALISED, extended
from reference.console.records import Record
from reference.rule.updates import METHODS, Method
from toy.paper.experiments import EXPERIMENTS


@dataclass(frozen=True)
class Variant:
    """A method at a perturbation scale, None for the experiment's own."""

    method: Method
    sigma: float | None = None


CV, CV_SMALL = "Δ-STN CV", "Δ-STN CV, σ = 0.3"
PAPER = {method.name: Variant(method) for method in METHODS}
VARIANTS = {
    **PAPER,
    CV: Variant(DELTA_STN_CV_NORMALISED),
    CV_SMALL: Variant(DELTA_STN_CV_NORMALISED, 0.3),
}
_IN_SETTINGS = {name: asdict(extended(variant.method)) for name, variant in VARIANTS.items()}


def called(record: Record) -> str | None:
    """The variant that a record is of, if any."""
    settings = record.settings
    default = EXPERIMENTS[settings["experiment"]].sigma
    for name, variant in VARIANTS.items():
        sigma = default if variant.sigma is None else variant.sigma
        if settings["method"] == _IN_SETTINGS[name] and settings["sigma"] == sigma:
            return name
    return None
