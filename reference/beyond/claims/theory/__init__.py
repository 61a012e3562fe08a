"""Beyond 24 to 30 and 34: claims of the theory's modules."""
