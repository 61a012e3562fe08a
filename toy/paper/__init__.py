"""The experiments of 5.1 and H.1: what each is, a run of it, the exact answers beside it, many splits."""
