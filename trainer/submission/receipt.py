"""Receipts: an event's signature that it received a claim, and when."""

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
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        signed = strictjson.dump({name: receipt[name] for name in SIGNED_FIELDS})
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(receipt["signature"]), signed)
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return False
    return True
