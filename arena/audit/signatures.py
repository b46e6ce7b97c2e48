"""Ed25519 signatures of an event, verified. Keys and signatures are hexadecimal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.verse import strictjson

RECEIPT_FIELDS = ("entry", "claim", "received")


def is_signed(public_key: str, data: bytes, signature: str) -> bool:
    """Whether data has the signature of a key.

    Args:
        public_key: Ed25519.
        data: what was signed.
        signature: of the data.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), data)
    except (InvalidSignature, ValueError):
        return False
    return signature == signature.lower()  # one spelling, so that no byte of a file is free


def is_signed_receipt(public_key: str, receipt: Mapping[str, Any]) -> bool:
    """Whether a receipt that somebody kept has the signature of a key."""
    try:
        fields = {name: receipt[name] for name in RECEIPT_FIELDS}
        return is_signed(public_key, strictjson.dump(fields), str(receipt["signature"]))
    except (KeyError, ValueError, TypeError):
        return False
