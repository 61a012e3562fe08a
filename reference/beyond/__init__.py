"""What goes beyond the paper; nothing of the paper imports it."""
