"""The paper's mathematics in NumPy and SciPy: problems with exact answers, update rules, checks of every claim."""
