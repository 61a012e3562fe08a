"""Problems that the paper does not have: a penalty or drop rate for each group of features, and softmax regression."""
