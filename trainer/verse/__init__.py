"""The definition of a verse, in NumPy without torch; SPEC.md states it in words. Import the modules you need.

The same weights and recipe give the same verse on every machine, or the verdict UNDECIDED.
"""
