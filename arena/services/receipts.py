"""Receipts: Ed25519 over the canonical JSON of entry, claim and time. The key is an argument, in hexadecimal."""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from trainer.verse import strictjson


def public_key_of(key: str) -> str:
    """The public key, by which anybody checks a receipt."""
    return _private(key).public_key().public_bytes_raw().hex()


def sign(key: str, fields: dict[str, Any]) -> str:
    """The signature, in hexadecimal; equal fields give equal signatures."""
    return _private(key).sign(strictjson.dump(fields)).hex()


def verify_receipt(public_key: str, fields: dict[str, Any], signature: str) -> bool:
    """Whether the event with this public key signed these fields."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), strictjson.dump(fields))
    except (InvalidSignature, ValueError):
        return False
    return True


def _private(key: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key))
