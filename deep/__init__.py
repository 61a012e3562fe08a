"""The deep layer: Δ-STN for any PyTorch model, with the names and the order of `reference`."""
