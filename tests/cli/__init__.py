"""The command line: what it shows, what it writes, how it ends."""
