"""Results on how Alg. 1 moves that the paper does not have: each a module, a page beside it, claims and tests."""
