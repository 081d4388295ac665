"""The tests of the sandbox. `calling.py` makes the calls that they share."""
