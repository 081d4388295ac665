"""The tests of the management API. `desk.py` is what they share."""
