"""The paper's toy experiments (5.1, H.1) on real data: data sets, training loops over replicates, records."""
