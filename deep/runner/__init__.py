"""`python -m deep`: single runs, sweeps of runs and searches, with their records."""
