"""The one definition of a verse: NumPy only, no torch. SPEC.md says it in words; import the modules you need.

The same weights and recipe give the same verse on every machine, or an honest "undecided".
"""
