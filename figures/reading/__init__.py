"""What the records say: which of them count, their scores and verdicts."""
