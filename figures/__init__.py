"""One module for each figure and table of the paper: reads records, draws, writes files."""
