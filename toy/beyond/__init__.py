"""Experiments that the paper does not have: estimators of hypergradients, structured responses, softmax regression."""
