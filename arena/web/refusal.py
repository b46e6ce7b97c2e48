"""The error of a request that is turned down before any service sees it."""

from __future__ import annotations


class Refusal(Exception):
    """A request turned down before any service saw it. `str(error)` is the sentence a person reads."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after
