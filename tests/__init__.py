"""The tests of the package. `pki.py` makes the certificates that they share."""
