"""The guard of one host: its lock files, and what the system may do to them."""
