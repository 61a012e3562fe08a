"""Results on how Alg. 1 moves that the paper does not have: each a module, claims and tests, most with a page."""
