"""The control variate for Θ's gradient: how much noise it takes away, and what dropout's masks leave of that."""
