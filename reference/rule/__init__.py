"""The update rule: Algorithms 1 and 2 and what they are made of, the hypernetwork and the perturbation."""
