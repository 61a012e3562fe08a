"""From an answer that is wrong to its likeliest cause."""
