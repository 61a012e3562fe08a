"""What a user would pick instead: regret against time and against gradient-equivalents, all alternatives in one run.

    module        what
    tasks         the problems, and what an alternative is told of each
    prices        what a piece of work costs, in gradient-equivalents
    searches      scikit-learn's RidgeCV and GridSearchCV; Optuna's TPE and GP
    descents      L-BFGS on the exact hypergradient; STN, Δ-STN and Δ-STN with the control variate
    measure       traces, repeats, and the regret of what was kept

An alternative is a function (task, problem, seed, keep). It calls `keep(price, λ)` whenever the λ that its user would
take at that moment may have changed: of a search the best so far, of STN and its kin the current one.
"""
