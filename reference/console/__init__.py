"""The command line: how every command of the project ends, its argument types, and the check of all claims."""
