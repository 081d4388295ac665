"""The concurrency guards: one contract for all of them, and what each adds. `kinds.py` makes them."""
