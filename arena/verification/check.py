"""Checks one bundle by writing its verse again. It reads weights: call it in a watched child process only."""

from __future__ import annotations

from typing import Any

from arena.verification.report import DIFFERS, TOO_CLOSE, Report, Token, malformed
from trainer.verse.bundle import parse_bundle
from trainer.verse.claim import Claim
from trainer.verse.errors import BundleError, NotFinite
from trainer.verse.model import VerseModel
from trainer.verse.replay import Verdict, replay

CONTEXT_CHARACTERS = 40  # of the verse, shown before a difference


def check_bundle(data: bytes) -> Report:
    """Read a whole bundle, replay its verse, and report."""
    try:
        bundle = parse_bundle(data)
        model = VerseModel(bundle.claim.config, bundle.weights)
    except BundleError as error:
        return malformed(error)
    claim = bundle.claim
    try:
        verdict = replay(model, claim.recipe, claim.ids)
    except NotFinite as error:
        return Report("FAIL", code="not-finite", reason=str(error), position=error.position, **_facts(claim))
    return _report(claim, verdict)


def _report(claim: Claim, verdict: Verdict) -> Report:
    certificate = verdict.certificate
    details: dict[str, Any] = {}
    if verdict.position is not None and verdict.expected is not None and verdict.got is not None:
        before = claim.vocabulary.decode(claim.ids[: verdict.position])
        details = {
            "position": verdict.position,
            "expected": _token(claim, verdict.expected),
            "got": _token(claim, verdict.got),
            "before": before.decode("utf-8", errors="backslashreplace")[-CONTEXT_CHARACTERS:],
        }
    if verdict.verdict == "FAIL":
        details |= {"code": "differs", "reason": DIFFERS}
    elif verdict.verdict == "UNDECIDED":
        details |= {"code": "too-close", "reason": TOO_CLOSE}
    return Report(
        verdict.verdict,
        certificate=certificate.to_dict() if certificate else None,
        certificate_agrees=certificate.agrees_with(claim.certificate) if certificate else None,
        **details,
        **_facts(claim),
    )


def _token(claim: Claim, token: int) -> Token:
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
