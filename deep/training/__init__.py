"""The loop: epochs over batches, checkpoints, schedules, and what a terminal shows of them."""
