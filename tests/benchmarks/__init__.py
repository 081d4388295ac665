"""What the package costs beside what one would write instead: `python -m tests.benchmarks [NAME ...]`.

`measuring.py` takes turns between the two, the modules beside it say what is compared. Nothing is asserted: ratios on a
busy machine are for reading.
"""
