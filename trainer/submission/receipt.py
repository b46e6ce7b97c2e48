"""Signatures of an event: that it received a claim, and when; and that it is the one with a public key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.verse import strictjson

SIGNED_FIELDS = ("entry", "claim", "received")


def receipt_path(bundle: Path) -> Path:
    """Return where the receipt of a bundle is kept: beside it."""
    return bundle.with_name(bundle.stem + ".receipt.json")


def verify_receipt(public_key: str, receipt: Mapping[str, Any]) -> bool:
    """Whether a receipt has the signature of the event with this key, over the canonical JSON of `SIGNED_FIELDS`.

    Args:
        public_key: Ed25519 public key, hexadecimal.
        receipt: The signed fields and "signature", hexadecimal; anything else is ignored.
    """
    try:
        fields = {name: receipt[name] for name in SIGNED_FIELDS}
    except KeyError:
        return False
    return _has_signed(public_key, fields, receipt.get("signature"))


def verify_proof(public_key: str, challenge: str, proof: object) -> bool:
    """Whether a proof is the signature of a challenge by the event with this key.

    Args:
        public_key: Ed25519 public key, hexadecimal.
        challenge: What the event was asked to sign, made for this question.
        proof: Its signature, hexadecimal.
    """
    return _has_signed(public_key, {"proof": "verse-event-1", "challenge": challenge}, proof)


def _has_signed(public_key: str, fields: Mapping[str, Any], signature: object) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature if isinstance(signature, str) else ""), strictjson.dump(dict(fields)))
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True
