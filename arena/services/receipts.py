"""Receipts and proofs: Ed25519 signatures of canonical JSON. Keys and signatures are hexadecimal."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from arena.rules.chain import fingerprint
from trainer.verse import strictjson


def public_key_of(key: str) -> str:
    """Return the public key that verifies receipts."""
    return _private(key).public_key().public_bytes_raw().hex()


def key_fingerprint(key: str) -> str:
    """Return what people compare of the public key that verifies receipts: 32 digits in groups of four."""
    return fingerprint(public_key_of(key))


def sign(key: str, fields: dict[str, Any]) -> str:
    """Sign fields; equal fields give equal signatures, in hexadecimal."""
    return _private(key).sign(strictjson.dump(fields)).hex()


def prove(key: str, challenge: str) -> str:
    """Sign a challenge, which proves that this is the event with the public key; in hexadecimal."""
    return sign(key, {"proof": "verse-event-1", "challenge": challenge})


def _private(key: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key))
