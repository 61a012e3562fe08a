"""A Tuner inside the training stacks of others; each module needs its package: pip install -e '.[integrations]'."""
