"""Libraries that compute hypergradients, held to the yardstick; run by hand, each in an environment of its own."""
