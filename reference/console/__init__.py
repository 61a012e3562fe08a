"""The command line: how every command ends, its argument types, the check of all claims; and the format of records."""
