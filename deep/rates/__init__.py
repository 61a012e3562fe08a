"""Drop rates, wherever a model reads them."""
