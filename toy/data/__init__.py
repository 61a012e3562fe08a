"""Data sets: where they come from, how text becomes a table, how a table is split and scaled."""
