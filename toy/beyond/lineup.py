"""Which estimators the laboratory measures, with which settings, and for what budgets.

name       symbol     meaning
spectrum   -          eigenvalues of H = ∂²L_T/∂w², ascending
L          L          the largest; with mini-batches of b rows H's trace over b more, since rows differ
alpha      α          step sizes, as large as is stable; what finding them costs is not priced

Step sizes. Neumann series and unrolling: 1/L, unrolling with mini-batches, which moves the weights, a third of it. Θ's
least-mean-squares steps: 1/L over h + 2 and, at σ = 1, where exp(ε) has a heavy tail, a tenth of that; STN's response
multiplies λ + ε, so that 1 + ‖λ‖² is added to h + 2. At the small σ the step is divided by σ² (`normalised`), with the
control variate and without it, so that the two differ in nothing else.
"""

from collections.abc import Iterator

import numpy as np

from reference.beyond.control_variate.updates import DELTA_STN_CV_NORMALISED, DELTA_STN_NORMALISED
from reference.beyond.estimators.closed_form import CentralDifferences, EvolutionStrategies, Exact
from reference.beyond.estimators.estimator import Estimator
from reference.beyond.estimators.hypernetwork import CarriedOver, Hypernetwork
from reference.beyond.estimators.implicit import Cholesky, ConjugateGradient, Neumann, OneStep
from reference.beyond.estimators.price import Inner
from reference.beyond.estimators.unrolling import ForwardUnrolling, ReverseUnrolling
from reference.rule.updates import CENTERED_STN, DELTA_STN, STN
from toy.beyond.regimes import Instance, Regime

Entry = tuple[Estimator, tuple[float, ...]]
"""An estimator and its budgets: one where no budget changes it."""

TRUNCATION = 10
SMOOTHING = 0.1
SIGMA = 1.0
"""H.1's perturbation scale."""
SMALL_SIGMA = 0.01
"""Of the methods whose step is divided by σ²."""
UPDATES, MOVE = 50, 0.02
"""Of λ, on the way to where the hypergradient is asked for; 0.02 is the step of the toy runs' RMSProp."""
T_TRAIN = (1, 10)
"""Steps on w0 and Θ between two updates of λ; 10 is H.1's."""
DIFFERENCES = 10**11
"""Operations beyond which central differences are left out."""
RANK = 1e-14
"""An eigenvalue below this part of the largest is 0 to rounding, and H singular."""


def estimators(instance: Instance, spectrum: np.ndarray, regime: Regime) -> Iterator[Entry]:
    """All of them; those that the regime is too large for, or that need a regular H, are left out."""
    m, h = len(instance.w), len(instance.lam)
    L = float(spectrum[-1] + (spectrum.sum() / regime.batch if regime.batch else 0.0))
    once, every = (0.0,), tuple(regime.budgets)
    yield Exact(factorisations=regime.newton), once
    if 2 * h * m**3 / 3 < DIFFERENCES:
        yield CentralDifferences(factorisations=regime.newton), once
    yield EvolutionStrategies(factorisations=regime.newton, sigma=SMOOTHING), every
    if spectrum[0] > RANK * spectrum[-1]:
        yield Cholesky(), once
    yield ConjugateGradient(), every
    yield Neumann(1 / L), every
    yield OneStep(1 / L), once
    descent = 1 / L if regime.batch is None else 1 / (3 * L)
    yield ForwardUnrolling(descent), every
    yield ForwardUnrolling(descent, last=TRUNCATION), every
    yield ReverseUnrolling(descent), every
    yield ReverseUnrolling(descent, last=TRUNCATION), every
    yield from hypernetworks(instance, L, regime)


def hypernetworks(instance: Instance, L: float, regime: Regime) -> Iterator[Entry]:
    """The learned responses."""
    m, h, every = len(instance.w), len(instance.lam), tuple(regime.budgets)
    uncentred = h + 2 + 1 + float(instance.lam @ instance.lam)
    yield Hypernetwork(STN, SIGMA, 0.1 / (L * uncentred)), every
    for method in (CENTERED_STN, DELTA_STN):
        yield Hypernetwork(method, SIGMA, 0.1 / (L * (h + 2))), every
    inner = Inner(instance.problem, m, np.random.default_rng(), regime.batch)
    for method in (DELTA_STN_NORMALISED, DELTA_STN_CV_NORMALISED):
        steady = Hypernetwork(method, SMALL_SIGMA, 1 / (L * (h + 2)))
        step, last = steady.prices(inner, h)
        yield steady, every
        carried = CarriedOver(method, steady.sigma, steady.alpha1, updates=UPDATES, move=MOVE)
        yield carried, tuple(T_train * step + last for T_train in T_TRAIN)
