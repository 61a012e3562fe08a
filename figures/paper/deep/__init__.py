"""Figures and tables of 5.2, 5.3, H.2, H.3 and I, drawn from committed records."""
