"""Figures and tables of 5.1 and H.1, whose experiments are run on the spot."""
