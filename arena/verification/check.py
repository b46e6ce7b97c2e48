"""Checks one bundle and says everything there is to say about it. Reads weights: call it in a watched child only."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from trainer.verse.bundle import read_bundle
from trainer.verse.claim import Claim
from trainer.verse.errors import BundleError, NotFinite
from trainer.verse.model import VerseModel
from trainer.verse.replay import Verdict, replay

MAX_REASON = 400  # characters; a sentence
BEFORE = 40  # characters of the verse shown before a difference


@dataclass(frozen=True)
class Report:
    """What is known about one file; the shape of `arena verify --json`. Text in it is untrusted.

    `verdict` is the engine's PASS, FAIL or UNDECIDED; MALFORMED for a file that breaks the bundle's format; ERROR for
    whatever says nothing about the verse: no such file, or a limit of this machine.
    """

    verdict: Literal["PASS", "FAIL", "UNDECIDED", "MALFORMED", "ERROR"]
    file: str = ""  # as the caller named it
    code: str | None = None  # MALFORMED: the rule broken; ERROR: what kind; FAIL, UNDECIDED: "differs" etc.
    reason: str | None = None  # one sentence, unless PASS
    position: int | None = None  # the first token that differs or is undecided, from 0
    expected: dict[str, Any] | None = None  # the token this checkpoint writes there: id and text
    got: dict[str, Any] | None = None  # the token claimed there
    before: str | None = None  # a little of the verse before it
    tokens: int | None = None  # length of the verse
    certificate: dict[str, Any] | None = None  # recomputed
    claimed_certificate: dict[str, Any] | None = None  # as the file has it
    certificate_agrees: bool | None = None  # advisory: it never changes the verdict
    text: str | None = None  # the verse
    prompt: str | None = None
    recipe: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    tensors_sha256: str | None = None  # names the checkpoint

    @classmethod
    def from_dict(cls, data: object) -> Report:
        """Read a report that another process wrote.

        Raises:
            ValueError: it is none.
        """
        verdicts = ("PASS", "FAIL", "UNDECIDED", "MALFORMED", "ERROR")
        if not isinstance(data, dict) or set(data) != {field.name for field in fields(cls)}:
            raise ValueError("not the fields of a report")
        if data["verdict"] not in verdicts:
            raise ValueError("no verdict")
        return cls(**data)


def check_bundle(path: Path) -> Report:
    """Read the whole bundle, replay its verse, and report."""
    try:
        bundle = read_bundle(path)
        model = VerseModel(bundle.claim.config, bundle.weights)
    except BundleError as error:
        return malformed(error)
    except OSError as error:
        return unreadable(error)
    claim = bundle.claim
    try:
        verdict = replay(model, claim.recipe, claim.ids)
    except NotFinite as error:
        return Report("FAIL", code="not-finite", reason=str(error), position=error.position, **_facts(claim))
    return _report(claim, verdict)


def malformed(error: BundleError) -> Report:
    """A file that is no bundle."""
    return Report("MALFORMED", code=error.code, reason=str(error)[:MAX_REASON])


def unreadable(error: OSError) -> Report:
    """A file that cannot be read, which says nothing about what is in it."""
    if isinstance(error, FileNotFoundError):
        return Report("ERROR", code="missing", reason="there is no such file")
    if isinstance(error, IsADirectoryError):
        return Report("ERROR", code="folder", reason="this is a folder: name the bundles in it")
    return Report("ERROR", code="unreadable", reason=f"it cannot be read: {error.strerror}")


def _report(claim: Claim, verdict: Verdict) -> Report:
    certificate = verdict.certificate
    found: dict[str, Any] = {}
    if verdict.position is not None and verdict.expected is not None and verdict.got is not None:
        before = claim.vocabulary.decode(claim.ids[: verdict.position])
        found = {
            "position": verdict.position,
            "expected": _token(claim, verdict.expected),
            "got": _token(claim, verdict.got),
            "before": before.decode("utf-8", errors="backslashreplace")[-BEFORE:],
        }
    if verdict.verdict == "FAIL":
        found |= {"code": "differs", "reason": "this checkpoint and recipe write another verse"}
    elif verdict.verdict == "UNDECIDED":
        found |= {"code": "too-close", "reason": "one decision is too close for float64, so machines may differ on it"}
    return Report(
        verdict.verdict,
        certificate=certificate.to_dict() if certificate else None,
        certificate_agrees=certificate.agrees_with(claim.certificate) if certificate else None,
        **found,
        **_facts(claim),
    )


def _token(claim: Claim, token: int) -> dict[str, Any]:
    return {"id": token, "text": claim.vocabulary.tokens[token].decode("utf-8", errors="backslashreplace")}


def _facts(claim: Claim) -> dict[str, Any]:
    return {
        "tokens": len(claim.ids),
        "claimed_certificate": claim.certificate.to_dict(),
        "text": claim.text,
        "prompt": claim.prompt,
        "recipe": claim.recipe.to_dict(),
        "config": claim.config.to_dict(),
        "tensors_sha256": claim.tensors_sha256,
    }
