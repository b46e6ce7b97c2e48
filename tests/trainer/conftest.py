"""Fixtures that several test files share; each lives in a file of its own."""

from tests.trainer.trained import trained

__all__ = ["trained"]
