"""Checks one bundle by writing its verse again. It reads weights: call it in a watched child process only."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from arena.verification.report import AMPLIFIED, DIFFERS, TOO_CLOSE, Report, Token, malformed
from trainer.verse.bundle import parse_bundle
from trainer.verse.claim import Claim
from trainer.verse.decision import BOUND
from trainer.verse.errors import BundleError
from trainer.verse.model import VerseModel
from trainer.verse.replay import Verdict, replay

CONTEXT_CHARACTERS = 40  # of the verse, shown before a difference


def check_bundle(data: bytes, *, precise: bool = False) -> Report:
    """Read a whole bundle, replay its verse, and report.

    Args:
        data: The bundle.
        precise: Decide in ball arithmetic what float64 leaves open; this needs python-flint.
    """
    try:
        bundle = parse_bundle(data)
        model = VerseModel(bundle.claim.config, bundle.weights)
    except BundleError as error:
        return malformed(error)
    claim = bundle.claim
    verdict = replay(model, claim.recipe, claim.ids)
    if not precise or verdict.verdict != "UNDECIDED":
        return _report(claim, verdict)
    from arena.verification.precise import check_precisely

    proof = check_precisely(claim, bundle.weights)
    proved = replace(verdict, verdict=proof.verdict, position=proof.position, expected=proof.expected, got=proof.got)
    return replace(_report(claim, proved), precise_bits=proof.bits)


def _report(claim: Claim, verdict: Verdict) -> Report:
    certificate = verdict.certificate
    details: dict[str, Any] = {}
    if verdict.position is not None and verdict.expected is not None and verdict.got is not None:
        before = claim.vocabulary.decode(claim.ids[: verdict.position])
        details = {
            "position": verdict.position,
            "expected": _token(claim, verdict.expected),
            "got": _token(claim, verdict.got),
            "before": before[-CONTEXT_CHARACTERS:],
        }
    if verdict.verdict == "FAIL":
        details |= {"code": "differs", "reason": DIFFERS}
    elif verdict.verdict == "UNDECIDED":
        details |= {"code": "too-close", "reason": AMPLIFIED if verdict.bound > BOUND else TOO_CLOSE}
    return Report(
        verdict.verdict,
        certificate=certificate.to_dict() if certificate else None,
        certificate_agrees=certificate.agrees_with(claim.certificate) if certificate else None,
        bound=verdict.bound if math.isfinite(verdict.bound) else None,
        **details,
        **_facts(claim),
    )


def _token(claim: Claim, token: int) -> Token:
    return {"id": token, "text": claim.vocabulary.tokens[token]}


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
