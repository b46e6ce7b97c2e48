"""Checks of an entry that no verdict follows from: advice to an organizer. NumPy only, so that the arena can use them.

Each measure compares one number with a threshold that was measured on honest runs (`limits`).
"""
