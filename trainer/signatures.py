"""Ed25519 signatures of an event, verified. Keys and signatures are hexadecimal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.verse import strictjson

RECEIPT_FIELDS = ("entry", "claim", "received")  # that the event signs


def is_signed(public_key: str, data: bytes, signature: object) -> bool:
    """Whether data has the signature of a key.

    Args:
        public_key: Ed25519.
        data: What was signed.
        signature: Of the data; anything else than a text is none.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not isinstance(signature, str):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(bytes.fromhex(signature), data)
    except (InvalidSignature, ValueError):
        return False
    return signature == signature.lower()  # one spelling, so that no byte of a file is free


def is_signed_receipt(public_key: str, receipt: Mapping[str, Any]) -> bool:
    """Whether a receipt has the signature of a key, over the canonical JSON of `RECEIPT_FIELDS`.

    Args:
        public_key: Of the event.
        receipt: The signed fields and "signature"; anything else is ignored.
    """
    try:
        fields = {name: receipt[name] for name in RECEIPT_FIELDS}
        return is_signed(public_key, strictjson.dump(fields), receipt["signature"])
    except (KeyError, ValueError, TypeError):
        return False


def is_signed_challenge(public_key: str, challenge: str, proof: object) -> bool:
    """Whether a proof is the signature of a challenge by the event with a key.

    Args:
        public_key: Of the event.
        challenge: What the event was asked to sign, made for this question.
        proof: Its signature.
    """
    return is_signed(public_key, strictjson.dump({"proof": "verse-event-1", "challenge": challenge}), proof)
