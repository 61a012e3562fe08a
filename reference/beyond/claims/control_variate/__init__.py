"""Beyond 1 to 10 and 31 to 33: what the control variate keeps and what it takes away."""
