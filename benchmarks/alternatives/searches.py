"""Searches that know λ's validation loss and nothing of its slope: grids by scikit-learn, Optuna's TPE and GP.

scikit-learn sees training and validation rows as one table and a PredefinedSplit that tells them apart. Where the
penalty's divisor is n, alpha = e^λ, since Ridge minimises ‖Xw - t‖² + alpha ‖w‖², and C = e^-λ, since
LogisticRegression minimises C Σ_i (cross entropy) + ‖w‖²/2. RidgeCV with a split given is GridSearchCV on Ridge; it
fits once more, on all rows, in the end. Optuna's trials are exact solutions, priced as such.
"""

import warnings
from collections.abc import Callable

import numpy as np
import optuna
from numpy import ndarray
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, PredefinedSplit

from benchmarks.alternatives import prices
from benchmarks.alternatives.oracle import Oracle, size
from benchmarks.alternatives.problems import CountedLogistic, Linear, Tuned
from benchmarks.alternatives.tasks import Keep, Task
from reference.beyond.estimators.price import LOSS

SAMPLERS: dict[str, Callable[..., BaseSampler]] = {"TPE": TPESampler, "GP": GPSampler}
NO_SMOOTHING = -30.0
"""λ_2 of the logistic problem where there is none, to rounding."""


def rows(problem: Tuned) -> tuple[ndarray, ndarray, PredefinedSplit]:
    """All rows, and which of them are for validation."""
    X, t = np.vstack([problem.X, problem.X_valid]), np.concatenate([problem.t, problem.t_valid])
    return X, t, PredefinedSplit(np.repeat([-1, 0], [len(problem.t), len(problem.t_valid)]))


def ridge_cv(task: Task, problem: Linear, seed: int, keep: Keep, points: int) -> float:
    """RidgeCV on an even grid of λ: one penalty, for all features alike. Gives the validation loss that it reports."""
    X, t, cv = rows(problem)
    alphas = np.exp(np.linspace(*task.bounds, points))
    search = RidgeCV(alphas, fit_intercept=False, cv=cv, scoring="neg_mean_squared_error").fit(X, t)
    n, m = size(problem)
    fit = prices.forming(n, m) + prices.solving(n, m)
    keep(points * (fit + LOSS) + fit, np.full(task.h, np.log(np.asarray(search.alpha_, dtype=float))))
    return -np.asarray(search.best_score_, dtype=float).item() / 2


def logistic_cv(task: Task, problem: CountedLogistic, seed: int, keep: Keep, points: int) -> float:
    """GridSearchCV on an even grid of λ_1: the decay alone, no smoothing, no class weights.

    A gradient for each of the solver's iterations; what its line searches look at besides is not counted. Gives the
    validation loss that the search reports.
    """
    X, t, cv = rows(problem)
    model, price = LogisticRegression(fit_intercept=False, max_iter=10_000), 0.0

    def score(fitted: LogisticRegression, X: ndarray, t: ndarray) -> float:
        nonlocal price
        price += LOSS + float(np.max(fitted.n_iter_))
        return -log_loss(t, fitted.predict_proba(X), labels=fitted.classes_)

    grid = {"C": np.exp(-np.linspace(*task.bounds, points))}
    search = GridSearchCV(model, grid, scoring=score, cv=cv, refit=False).fit(X, t)
    keep(price, np.array([-np.log(search.best_params_["C"]), NO_SMOOTHING, *np.zeros(task.h - 2)]))
    return -float(search.best_score_)


def trials(task: Task, problem: Tuned, seed: int, keep: Keep, sampler: str) -> None:
    """Optuna with the sampler's default settings, as many trials as the task says."""
    study, oracle, best = optuna.create_study(sampler=make(sampler, seed)), Oracle(problem), np.inf
    for _ in range(task.trials[sampler]):
        trial = study.ask()
        lam = np.array([trial.suggest_float(f"lam_{i + 1}", *task.bounds) for i in range(task.h)])
        loss = oracle.loss(lam)
        study.tell(trial, loss)
        if loss < best:
            best = loss
            keep(oracle.price, lam)


def make(sampler: str, seed: int) -> BaseSampler:
    """The sampler, and silence about what it is."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[sampler](seed=seed)
