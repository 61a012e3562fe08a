"""Linear systems to eight digits, or a refusal: what the exact answers rest on."""
