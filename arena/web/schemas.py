"""Requests of the API, and those responses that no service returns. `web.openapi` describes them from here.

A comment beside a field is its description there.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ClaimRequest:
    """A bundle's header, which claims its verse."""

    header: bytes = field(metadata={"in": "body"})  # the bundle's bytes up to the first tensor
    name: str = field(metadata={"in": "query"})  # of the author, as the room will read it
    replace: str = field(default="", metadata={"in": "query", "required": False})  # "1": also a verse of another name
    authors: str = field(  # secrets of further authors, with commas between them; none of them votes on it
        default="", metadata={"in": "header", "name": "Co-Authors", "required": False}
    )


@dataclass(frozen=True)
class EventRequest:
    """A question to the event."""

    challenge: str = field(  # 32 to 128 hexadecimal digits, never used before: the answer has a signature of it
        default="", metadata={"in": "query", "required": False}
    )


@dataclass(frozen=True)
class EntryRequest:
    """Which entry is meant."""

    entry_id: str = field(metadata={"in": "path"})


@dataclass(frozen=True)
class PieceRequest:
    """Some bytes of a bundle."""

    entry_id: str = field(metadata={"in": "path"})
    offset: int = field(metadata={"in": "header", "name": "Upload-Offset"})  # of the first byte, in the file
    piece: bytes = field(metadata={"in": "body"})  # at most `piece_bytes` of the event's limits


@dataclass(frozen=True)
class Heartbeat:
    """What a trainer says of its run, at one step."""

    at: float  # seconds since the epoch, by the trainer's clock, when this was so
    step: int  # updates done
    steps: int  # updates planned
    minutes: float  # of training
    bits: float | None  # validation loss in bits per character; null: not evaluated at this step
    checkpoint: str | None  # SHA-256 of the newest checkpoint, 64 hexadecimal digits
    sample: (
        str  # at most two lines that the model wrote, never from a recipe that is submitted; "": none is to be shown
    )


@dataclass(frozen=True)
class HeartbeatsBody:
    """Heartbeats of one run, 64 at most, in the order of their steps."""

    run: str  # id that the trainer drew for the run, 32 hexadecimal digits
    begun_at: float  # seconds since the epoch, by the trainer's clock
    sent_at: float  # by the same clock: a heartbeat that was sent long after its time was not seen live
    beats: list[Heartbeat]


@dataclass(frozen=True)
class HeartbeatsRequest:
    """Heartbeats for the race of the trainings."""

    body: bytes = field(metadata={"in": "body", "json": HeartbeatsBody})  # what trainers say of their runs


@dataclass(frozen=True)
class SignedReceipt:
    """When a claim arrived, signed by the event."""

    entry: str  # id
    claim: str  # SHA-256 of the header, hexadecimal
    received: float  # seconds since the epoch, by the server's clock
    signature: str  # Ed25519 over the canonical JSON of the three above, hexadecimal


@dataclass(frozen=True)
class ClaimResponse:
    """The result of sending a claim."""

    entry: str  # id
    offset: int  # bytes of the bundle received so far: continue from here
    size: int  # bytes of the whole bundle
    state: str  # of the entry
    receipt: SignedReceipt
    link: str  # for the owner's phone; it holds the secret


@dataclass(frozen=True)
class PieceResponse:
    """The result of sending a piece."""

    offset: int  # bytes of the bundle received so far: continue from here
    state: str  # of the entry


@dataclass(frozen=True)
class Limits:
    """What entries must keep to."""

    lines: int  # non-empty lines of a verse, at most
    characters: int  # of a verse, at most
    prompt_characters: int  # of its prompt, at most
    author_characters: int  # of an author's name, at most
    piece_bytes: int  # of one piece, at most
    bundle_bytes: int  # of a bundle, at most
    entries_without_verdict: int  # of one owner at a time, at most
    entries_per_owner: int  # all together, at most


@dataclass(frozen=True)
class Corpus:
    """The text that models of this event are trained on by default."""

    name: str
    sha256: str  # of its file, hexadecimal


@dataclass(frozen=True)
class LogHead:
    """The latest record of the event's log."""

    number: int
    hash: str  # 64 hexadecimal digits


@dataclass(frozen=True)
class EventResponse:
    """The event, for everybody who wants to enter."""

    name: str
    state: str  # draft, open, closed, drawn, champion, published
    admission: str  # who may enter and vote: tickets, pin or open; with "tickets", a secret is the code of a ticket
    closes_at: float | None  # seconds since the epoch, when submissions close automatically
    grace_ends_at: float | None  # seconds since the epoch, until when tensors may follow
    limits: Limits
    corpus: Corpus
    receipt_key: str  # Ed25519 public key that verifies receipts, 64 hexadecimal digits
    proof: str | None  # Ed25519 over the canonical JSON of "proof": "verse-event-1" and "challenge", hexadecimal
    key_fingerprint: str  # of that key, as the stage shows it: the first 32 digits of its SHA-256, in groups of four
    nonce: str | None  # keys the trainings of the evening, 64 hexadecimal digits; null until submissions open
    log: LogHead  # who kept it can tell later whether the log was changed


@dataclass(frozen=True)
class ErrorResponse:
    """Why a request was turned down. Some errors have further facts, such as `offset`."""

    error: str  # a short stable name of the rule
    message: str  # one sentence that says what to do
