"""The description of an event: its limits, its corpus and the public key of its receipts."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields

from trainer.errors import UploadError
from trainer.signatures import is_signed_challenge
from trainer.submission.http_client import INVALID_RESPONSE, EventClient, number_of, refusal_error, text_of
from trainer.verse.recipe import MAX_LINES

CHALLENGE_BYTES = 32  # random ones
MAX_PIECE_BYTES = 2**20  # of one request, even if the event allows more: it is sent again after a broken connection


@dataclass(frozen=True)
class Limits:
    """What the entries of an event must keep to. The defaults are used if the event is not known."""

    lines: int = MAX_LINES  # non-empty lines of a verse, at most
    characters: int = 480  # of a verse, at most; the default of `arena init`
    prompt_characters: int = 60  # of its prompt, at most; the default of `arena init`
    piece_bytes: int = MAX_PIECE_BYTES  # of one piece of an upload, at most


DEFAULT_LIMITS = Limits()  # if the event is not known


@dataclass(frozen=True)
class Event:
    """An event that can be entered."""

    url: str  # its address
    name: str
    limits: Limits
    corpus_name: str  # the text that models of this event are trained on by default
    corpus_sha256: str
    receipt_key: str  # Ed25519 public key, hexadecimal
    nonce: str | None  # keys the trainings for it, 64 hexadecimal digits; None: it has not started
    admission: str = "open"  # who may enter and vote: tickets, pin or open
    state: str = "open"  # draft, open, closed, drawn, champion, published


def fetch_event(client: EventClient, *, once: bool = False) -> Event:
    """Request the description of an event, and let it prove that it is the event with the public key it shows.

    Anybody can show another event's key, and a secret that was kept for that event must not go to them.

    Args:
        client: Of the event.
        once: Do not repeat the request if there is no response.

    Raises:
        EventRefused: The event refused the request.
        UploadError: The event cannot be reached, or its response is invalid, or has no proof.
    """
    challenge = secrets.token_hex(CHALLENGE_BYTES)
    request = client.request_once if once else client.request
    response = request("GET", f"/api/v1/event?challenge={challenge}")
    if response.status != 200:
        raise refusal_error(response)
    limits, corpus = response.data.get("limits"), response.data.get("corpus")
    if not isinstance(limits, dict) or not isinstance(corpus, dict):
        raise UploadError(INVALID_RESPONSE)
    key = text_of(response.data, "receipt_key")
    if not is_signed_challenge(key, challenge, response.data.get("proof")):
        raise UploadError(
            f"{client.url} does not prove that it is the event whose key it shows: check the address with the organizer"
        )
    return Event(
        url=client.url,
        name=text_of(response.data, "name"),
        limits=Limits(**{field.name: number_of(limits, field.name, 1) for field in fields(Limits)}),
        corpus_name=text_of(corpus, "name"),
        corpus_sha256=text_of(corpus, "sha256"),
        receipt_key=key,
        nonce=None if response.data.get("nonce") is None else text_of(response.data, "nonce"),
        admission=text_of(response.data, "admission"),
        state=text_of(response.data, "state"),
    )
