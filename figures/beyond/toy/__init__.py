"""The control variate, its bias, and structured responses, on the toy experiments."""
