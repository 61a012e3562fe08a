"""Eqn. 2.4 by every route there is: a problem, λ, weights and a budget in; a hypergradient and its price out.

The unit of price is one gradient-equivalent: one evaluation of ∂L_T/∂w on the whole training set (n rows).

    what                                         price                    why
    ∂L_T/∂w on a mini-batch of b rows            b/n                      it sees b rows
    a product with second derivatives of L_T     2 (on b rows, 2b/n)      reverse over forward: a gradient and its
    (∂²L_T/∂w² u and uᵀ∂²L_T/∂w∂λ are one)                                tangent, which is as much again
    ∂L_V/∂w; a loss without gradient             1; 1/3                   counted as n rows; one pass of three
    J_vw Δw, then J_vwᵀg at the same weights     4/3; 1 where a gradient  a pass, its tangent, and a reverse of two;
                                                 there came before        a gradient is a pass and a reverse of two
    algebra with matrices                        operations / (4nm)       a linear model's gradient is two products
                                                                          with X, of 2nm operations each
    vectors; random numbers; finding α           0

So a Cholesky factorisation (m³/3 operations) is m²/12n, a system solved with it (2m²) m/2n, forming XᵀX (nm²) m/4,
and a product with Θ (2mh) h/2n. A loss without rows, a quadratic, is m/2 of them: its gradient is 2m² operations.

    estimator                                 module            at which weights      what the budget buys
    Exact                                     closed_form       r(λ), its own         nothing: one price
    CentralDifferences                        closed_form       r(λ ± step), its own  nothing: one price
    EvolutionStrategies                       closed_form       r(λ ± σz), its own    pairs of λ
    Cholesky                                  implicit          w as given            nothing: one price
    ConjugateGradient, Neumann, OneStep       implicit          w as given            products with ∂²L_T/∂w²
    ForwardUnrolling, ReverseUnrolling        unrolling         w as given, trained   steps of gradient descent
    Hypernetwork (STN, ..., Δ-STN)            hypernetwork      w as given, trained   steps of Alg. 1 or 2
    CarriedOver                               hypernetwork      carried over          steps between two updates of λ

An estimator whose least price is above the budget gives the least that it can, and the price says so.
"""
