"""Checks a bundle in a watched child process. No transaction here; imports trainer.verse."""
