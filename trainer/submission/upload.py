"""The upload of a bundle to an event: the claim, its receipt, the tensors in pieces, and the verdict.

Every request may be repeated: the same claim gives the same entry, and the upload continues at the server's offset. So
after a broken connection or a restart of the server, the same command loses nothing and enters nothing twice.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from tqdm import tqdm

from trainer.errors import EventRefused, UploadError
from trainer.signatures import is_signed_receipt
from trainer.submission.event import MAX_PIECE_BYTES, Event
from trainer.submission.http_client import MAX_MESSAGE, EventClient, number_of, refusal_error, text_of
from trainer.verse import strictjson
from trainer.verse.bundle_file import read_claim
from trainer.verse.files import write_atomically
from trainer.verse.text import sanitize

POLL_SECONDS = 1.0  # between two requests about an entry that waits
PENDING_STATES = ("receiving", "waiting", "verifying")
MAX_ROUNDS = 3  # times that a server may lose what it had before this is an error
MAX_STALLED = 20  # responses in a row without progress
BINARY = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class SubmittedEntry:
    """An entry that the event has received completely."""

    id: str
    link: str  # for the owner's phone; it holds the secret
    receipt: Path  # the file


def receipt_path(bundle: Path) -> Path:
    """Return where the receipt of a bundle is kept: beside it."""
    return bundle.with_name(bundle.stem + ".receipt.json")


def send_bundle(
    bundle: Path,
    client: EventClient,
    name: str,
    event: Event,
    *,
    replace: bool = False,
    coauthors: Sequence[str] = (),
) -> SubmittedEntry:
    """Enter a bundle, or resume its upload; with a progress bar on a terminal.

    Args:
        bundle: The file, as `trainer submit` wrote it.
        client: A client of the event.
        name: The author's, as the audience will read it.
        event: The event's description.
        replace: Whether it may replace a verse that was entered under another name with the same secret.
        coauthors: The secrets of further authors.

    Raises:
        BundleError: The file is not a bundle.
        EventRefused: The event refused the entry.
        UploadError: The event cannot be reached, or its response is invalid.
    """
    claim = read_claim(bundle)
    query = f"name={quote(name, safe='', errors='replace')}{'&replace=1' if replace else ''}"
    headers = {**BINARY, "Co-Authors": ",".join(coauthors)} if coauthors else BINARY
    with bundle.open("rb") as file:
        header = file.read(claim.header_bytes)
        for _ in range(MAX_ROUNDS):
            entry, offset, state = _send_claim(bundle, client, query, event, header, claim.size, headers)
            piece_bytes = min(event.limits.piece_bytes, MAX_PIECE_BYTES)
            if state != "receiving" or _send_pieces(file, client, entry.id, offset, claim.size, piece_bytes):
                return entry
    raise UploadError(f"{event.url} loses what it receives: tell the organizer; the bundle is {bundle}")


def wait_for_verdict(
    entry: str, client: EventClient, wait: Callable[[float], None] = time.sleep, say: Callable[[str], None] = print
) -> str:
    """Poll an entry until it has a verdict, and return it as a sentence.

    Args:
        entry: Its id.
        client: A client of the event.
        wait: Waits for this many seconds.
        say: Called with a line at each change.

    Raises:
        EventRefused: The verse was not accepted.
        UploadError: The event cannot be reached, or its response is invalid.
    """
    last_line = ""
    while True:
        response = client.request("GET", f"/api/v1/entries/{entry}")
        if response.status != 200:
            raise refusal_error(response)
        state, reason = text_of(response.data, "state"), text_of(response.data, "reason")
        place = response.data.get("place")
        verdict = sanitize(str(response.data.get("verdict") or ""), MAX_MESSAGE)
        line = f"{state}{f' (place {place})' if isinstance(place, int) else ''}: {reason}"
        if state == "verified":
            return f"{verdict or 'PASS'}: {reason}"
        if state not in PENDING_STATES:
            raise EventRefused(state, f"{verdict or state}: {reason}")
        if line != last_line:
            last_line = line
            say(line)
        wait(POLL_SECONDS)


def _send_claim(
    bundle: Path, client: EventClient, query: str, event: Event, header: bytes, size: int, headers: Mapping[str, str]
) -> tuple[SubmittedEntry, int, str]:
    """Send the claim and keep its receipt; return the entry, the offset to continue at, and the entry's state."""
    path = f"/api/v1/entries?{query}"
    response = client.request("POST", path, header, headers)
    if response.status not in (200, 201):
        raise refusal_error(response)
    receipt = response.data.get("receipt")
    if not isinstance(receipt, dict) or receipt.get("claim") != hashlib.sha256(header).hexdigest():
        raise UploadError(f"{event.url} signed another claim than the one it was sent: check the address")
    if not is_signed_receipt(event.receipt_key, receipt):
        raise UploadError(f"the receipt of {event.url} does not have the event's signature: tell the organizer")
    if response.data.get("size") != size:
        raise UploadError(f"{event.url} expects another size than the bundle has: check the address")
    record = {"event": event.url, "bundle": bundle.name, "receipt_key": event.receipt_key, **receipt}
    file = receipt_path(bundle)
    write_atomically(file, strictjson.dump(record) + b"\n")
    entry = SubmittedEntry(text_of(response.data, "entry"), text_of(response.data, "link"), file)
    return entry, number_of(response.data, "offset", 0), text_of(response.data, "state")


def _send_pieces(file: BinaryIO, client: EventClient, entry: str, offset: int, size: int, piece_bytes: int) -> bool:
    """Send what is missing; return False if the server lost some of it and needs the claim again."""
    stalled = 0
    with tqdm(total=size, initial=offset, unit="B", unit_scale=True, desc="sending", leave=False, disable=None) as bar:
        while offset < size:
            file.seek(offset)
            piece = file.read(piece_bytes)
            headers = {**BINARY, "Upload-Offset": str(offset)}
            response = client.request("PATCH", f"/api/v1/entries/{entry}", piece, headers)
            if response.status == 410 or response.data.get("error") == "not-receiving":
                return False  # the response to the claim tells the entry's state
            if response.status == 200 or "offset" in response.data:  # also if it has more, or less, than expected
                previous, offset = offset, number_of(response.data, "offset", 0)
            else:
                raise refusal_error(response)
            stalled = stalled + 1 if offset <= previous else 0
            if stalled > MAX_STALLED or not 0 <= offset <= size:
                raise UploadError("the event accepts the pieces but does not store them: tell the organizer")
            bar.update(offset - previous)
    return True
