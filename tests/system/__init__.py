"""Tests that need programs of the system; run by naming this directory, as `nox -s system` does."""
