"""What is tuned: declared hyperparameters with their bounds, λ and σ, and the draws of ε and of masks."""
