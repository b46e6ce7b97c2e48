"""The report about one checked file, and the reason of each verdict in words."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, TypedDict, get_args

from trainer.verse.errors import BundleError

Verdict = Literal["PASS", "FAIL", "UNDECIDED", "MALFORMED", "ERROR"]
Failure = Literal["missing", "folder", "unreadable", "memory", "time", "output", "crash"]
MAX_REASON = 400  # characters; a sentence
DIFFERS = "this checkpoint and recipe write another verse"
TOO_CLOSE = "one decision is too close for float64, so machines may differ on it"
AMPLIFIED = "this model magnifies rounding errors so much that machines may differ on a decision"
FAILURES: dict[Failure, str] = {
    "missing": "there is no such file",
    "folder": "this is a folder: name the bundles in it",
    "unreadable": "the file cannot be read: {detail}",
    "memory": "the check used more memory than this bundle should need{detail}",
    "time": "the check took longer than this bundle should need{detail}",
    "output": "the checking process printed too much",
    "crash": "the check failed: {detail}",
}


class Token(TypedDict):
    """One token of a verse."""

    id: int
    text: str


@dataclass(frozen=True)
class Report:
    """What is known about one file; `arena verify --json` prints these fields. Text in it is untrusted.

    The engine says PASS, FAIL or UNDECIDED. MALFORMED: the file breaks a rule of the bundle's format. ERROR: nothing is
    known about the verse, because there is no such file or this machine reached a limit.
    """

    verdict: Verdict
    file: str = ""  # as the caller named it
    code: str | None = None  # MALFORMED: the broken rule; ERROR: a `Failure`; FAIL, UNDECIDED: "differs" etc.
    reason: str | None = None  # one sentence, unless PASS
    position: int | None = None  # the first token that differs or is undecided, from 0
    expected: Token | None = None  # the token that this checkpoint writes there
    got: Token | None = None  # the token of the claim
    before: str | None = None  # the end of the verse before it
    tokens: int | None = None  # length of the verse
    certificate: dict[str, Any] | None = None  # recomputed
    claimed_certificate: dict[str, Any] | None = None  # as in the file
    certificate_agrees: bool | None = None  # advisory: it never changes the verdict
    bound: float | None = None  # what gaps had to exceed: 1e-06, or more; None if no gap is large enough
    precise_bits: int | None = None  # bits of the ball arithmetic that decided, with --precise
    text: str | None = None  # the verse
    prompt: str | None = None
    recipe: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    tensors_sha256: str | None = None  # identifies the checkpoint

    @classmethod
    def from_dict(cls, data: object) -> Report:
        """Read a report from plain data that another process wrote.

        Raises:
            ValueError: The data is not a report.
        """
        if not isinstance(data, dict) or set(data) != {field.name for field in fields(cls)}:
            raise ValueError("not the fields of a report")
        if data["verdict"] not in get_args(Verdict):
            raise ValueError("not a verdict")
        return cls(**data)


def malformed(error: BundleError) -> Report:
    """Report a file that is not a bundle."""
    return Report("MALFORMED", code=error.code, reason=str(error)[:MAX_REASON])


def unreadable(error: OSError) -> Report:
    """Report a file that cannot be read, so that nothing is known about its contents."""
    if isinstance(error, FileNotFoundError):
        return failed("missing")
    if isinstance(error, IsADirectoryError):
        return failed("folder")
    return failed("unreadable", str(error.strerror))


def failed(code: Failure, detail: str = "") -> Report:
    """Report a check that could not be done."""
    return Report("ERROR", code=code, reason=FAILURES[code].format(detail=detail)[:MAX_REASON])
