"""Libraries that compute hypergradients, held to reference/yardstick; by hand, each in an environment of its own."""
