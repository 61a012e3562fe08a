"""What an implementation with a mistake, and no other, would return on a problem."""
