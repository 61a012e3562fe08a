"""Beyond the paper: softmax regression on scikit-learn's classification data, tuned by STNs beside the exact answer."""
