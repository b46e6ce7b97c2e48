"""The chain of log records, and the digests in them that nobody can guess while the event goes on.

Everything secret in the log follows from one secret of the event:

- `log_salt` salts digests of claims, verses and votes. The log commits to it at its first record and has it once the
  event is published.
- `nonce` keys the trainings of the evening. The log commits to it at its first record and has it once submissions open.
- `entry_key` salts digests of an author's name and of reasons. It is published for entries whose author is public.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from trainer.verse import strictjson

START = "0" * 64  # stands for the hash before the first record


@dataclass(frozen=True)
class Record:
    """One record of the log."""

    number: int  # from 1, without gaps
    at: float  # seconds since the epoch
    kind: str
    data: str  # canonical JSON
    hash: str  # SHA-256 of the hash before it and this record, hexadecimal


@dataclass(frozen=True)
class Fault:
    """A record at which the chain breaks."""

    number: int
    why: str  # such as "is missing"


def record_hash(previous: str, number: int, at: float, kind: str, data: str) -> str:
    """Compute a record's hash: SHA-256 of the previous record's hash and this record as canonical JSON.

    Args:
        previous: the previous record's hash, in hexadecimal.
        number: this record's number, from 1.
        at: seconds since the epoch.
        kind: this record's kind.
        data: canonical JSON, as stored; it is hashed as a string.

    Returns:
        The hash, in hexadecimal.
    """
    record = strictjson.dump({"number": number, "at": at, "kind": kind, "data": data})
    return hashlib.sha256(previous.encode() + record).hexdigest()


def find_fault(records: Iterable[Record]) -> Fault | None:
    """Recompute the hash of every record, and find the first that was changed, added or taken out.

    Args:
        records: all of them, in order.
    """
    previous = START
    for count, record in enumerate(records, start=1):
        if record.number != count:
            return Fault(count, "is missing")
        if record_hash(previous, record.number, record.at, record.kind, record.data) != record.hash:
            return Fault(count, "does not fit the one before it")
        previous = record.hash
    return None


def salted(salt: str, *parts: object) -> str:
    """Compute a digest that nobody can guess before the salt is published: SHA-256 of both as canonical JSON."""
    return hashlib.sha256(strictjson.dump([salt, *parts])).hexdigest()


def log_salt(secret: str) -> str:
    """Derive the salt of the log's digests from the event's secret."""
    return _derive(b"verse-log-salt-1", secret)


def nonce(secret: str) -> str:
    """Derive the nonce that keys the evening's trainings from the event's secret."""
    return _derive(b"verse-nonce-1", secret)


def commitment(value: str) -> str:
    """Compute what the log holds of a value that is published later."""
    return _derive(b"verse-commitment-1", value)


def entry_key(secret: str, entry: str) -> str:
    """Derive the key of an entry's private digests from the event's secret."""
    return salted(secret, "verse-entry-key-1", entry)


def name_digest(key: str, name: str) -> str:
    """Compute the digest of an author's name with the entry's key."""
    return salted(key, "name", name)


def reason_digest(key: str, reason: str | None) -> str | None:
    """Compute the digest of the reason of an entry's state with the entry's key; None for no reason."""
    return None if reason is None else salted(key, "reason", reason)


def verse_digest(salt: str, entry: str, text: str, prompt: str) -> str:
    """Compute the digest of an entry's verse.

    Args:
        salt: of the log.
        entry: id.
        text: the verse.
        prompt: what its model was given to continue.
    """
    return salted(salt, "verse", entry, text, prompt)


def bundle_digest(salt: str, entry: str, bundle: str | None) -> str | None:
    """Compute the digest of an entry's file in the log.

    Args:
        salt: of the log.
        entry: id.
        bundle: SHA-256 of the file; None: it is not there.
    """
    return None if bundle is None else salted(salt, "bundle", entry, bundle)


def ballots_digest(salt: str, match: str, poll: int, poll_round: int, ballots: Iterable[tuple[str, str, int]]) -> str:
    """Compute the digest of all votes in one round of a poll, by which nobody can change one later.

    Args:
        salt: of the log.
        match: id.
        poll: number of its poll.
        poll_round: the round.
        ballots: voter id, choice ("upper" or "lower") and minute since the epoch of each.
    """
    return salted(salt, "ballots", match, poll, poll_round, [list(ballot) for ballot in sorted(ballots)])


def judgements_digest(salt: str, judgements: Iterable[tuple[str, str, str, str]]) -> str:
    """Compute the digest of all judgements of the heats, by which nobody can change one later.

    Args:
        salt: of the log.
        judgements: voter id, both entries, the lesser id first, and choice ("upper" or "lower") of each.
    """
    return salted(salt, "heats", [list(judgement) for judgement in sorted(judgements)])


def coauthors_digest(salt: str, entry: str, owners: Iterable[str]) -> str | None:
    """Compute the digest of the further authors of an entry; None if there are none.

    Args:
        salt: of the log.
        entry: id.
        owners: their ids.
    """
    listed = sorted(owners)
    return salted(salt, "coauthors", entry, listed) if listed else None


def ticket_key(secret: str, number: int) -> str:
    """Derive the key of a card's private digests from the event's secret. It is never published."""
    return salted(secret, "verse-ticket-key-1", number)


def compute_entry_id(owner: str, claim: str) -> str:
    """Compute an entry's id: 32 hexadecimal digits of SHA-256("verse-entry-id-1" | owner | claim digest).

    It depends on nothing else, so the same event played again has the same draw.
    """
    return hashlib.sha256(b"verse-entry-id-1" + owner.encode() + claim.encode()).hexdigest()[:32]


def fingerprint(public_key: str) -> str:
    """Return what people compare of a public key: 32 digits of SHA-256 over its 32 bytes, in groups of four."""
    digits = hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:32]
    return " ".join(digits[start : start + 4] for start in range(0, 32, 4))


def _derive(domain: bytes, value: str) -> str:
    return hashlib.sha256(domain + value.encode()).hexdigest()
