"""The error of a request that is turned down before any service sees it, by a route or by the gateway."""

from __future__ import annotations


class Refusal(Exception):
    """A request that is turned down. Its message is the sentence a person reads: a phrase where a guest can meet it.

    Attributes:
        status: the HTTP status.
        code: a short stable name of the rule.
        retry_after: seconds after which the same request may succeed, for 429 and 503.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after
