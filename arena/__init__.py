"""Verify verses and let a room vote. Imports `trainer.verse` and nothing else of `trainer`; needs no torch."""
