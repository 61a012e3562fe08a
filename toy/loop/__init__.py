"""The loop of Algorithms 1 and 2 over replicates, and its random draws."""
