"""A bundle on its way into an event: the claim, its receipt, the tensors in pieces, and what becomes of it.

Every step may be repeated: the same claim gives the same entry, and pieces go on where the server says it is. So a
broken connection, a server that restarts or the same command run again lose nothing and enter nothing twice.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from tqdm import tqdm

from trainer.errors import EventRefused, UploadError
from trainer.submission.http_client import Answer, Wire, refused
from trainer.text import plain
from trainer.verse import strictjson
from trainer.verse.bundle import read_claim
from trainer.verse.files import write_atomically

PIECE = 2**20  # bytes
LOOK_EVERY = 1.0  # seconds between two looks at an entry that waits
UNDER_WAY = ("receiving", "waiting", "verifying")
ROUNDS = 3  # times that a server may lose what it had before we call it broken
MOST_STANDSTILL = 20  # answers in a row that move nothing


@dataclass(frozen=True)
class Entered:
    """An entry all of whose bytes are with the event."""

    entry: str  # id
    link: str  # for the owner's phone; it holds the secret
    receipt: Path  # the file


def receipt_path(bundle: Path) -> Path:
    """Where the receipt of a bundle is kept: beside it."""
    return bundle.with_name(bundle.stem + ".receipt.json")


def send(bundle: Path, wire: Wire, name: str, event: str) -> Entered:
    """Enter a bundle, or go on with it; a bar on a terminal.

    Args:
        bundle: the file, as `trainer submit` wrote it.
        name: the author's, as the room will read it.
        event: the address, for the receipt.

    Raises:
        BundleError: the file is no bundle.
        EventRefused: the event said no, and why.
        UploadError: it cannot be reached, or makes no sense.
    """
    claim = read_claim(bundle)
    with bundle.open("rb") as file:
        header = file.read(claim.header_bytes)
        for _ in range(ROUNDS):
            entered, offset, state = _claim(bundle, wire, name, event, header, claim.size)
            if state != "receiving" or _send_pieces(file, wire, entered.entry, offset, claim.size):
                return entered
    raise UploadError(f"{event} loses what it is sent: tell the organizer; the bundle is {bundle}")


def follow(
    entry: str, wire: Wire, wait: Callable[[float], None] = time.sleep, say: Callable[[str], None] = print
) -> str:
    """Look at an entry until it has a verdict; the sentence that says it.

    Args:
        wait: lets so many seconds pass.
        say: told each time something has changed.

    Raises:
        EventRefused: the verse was not accepted, and why.
        UploadError: the event cannot be reached.
    """
    told = ""
    while True:
        answer = wire.ask("GET", f"/api/entries/{entry}")
        if answer.status != 200:
            raise refused(answer)
        state, reason = _text(answer, "state"), plain(_text(answer, "reason"))
        place = answer.data.get("place")
        verdict = plain(str(answer.data.get("verdict") or ""))
        line = f"{state}{f' (place {place})' if isinstance(place, int) else ''}: {reason}"
        if state == "verified":
            return f"{verdict or 'PASS'}: {reason}"
        if state not in UNDER_WAY:
            raise EventRefused(state, f"{verdict or state}: {reason}")
        if line != told:
            told = line
            say(line)
        wait(LOOK_EVERY)


def _claim(bundle: Path, wire: Wire, name: str, event: str, header: bytes, size: int) -> tuple[Entered, int, str]:
    """Send the claim and keep its receipt; also the offset to go on from, and the entry's state."""
    answer = wire.ask("POST", f"/api/entries?name={quote(name, safe='', errors='replace')}", header, _kind())
    if answer.status not in (200, 201):
        raise refused(answer)
    receipt = answer.data.get("receipt")
    if not isinstance(receipt, dict) or receipt.get("claim") != hashlib.sha256(header).hexdigest():
        raise UploadError(f"{event} signed for something else than it was sent: check the address")
    if answer.data.get("size") != size:
        raise UploadError(f"{event} expects another size than the bundle has: check the address")
    kept = {"event": event, "bundle": bundle.name, **receipt}
    path = receipt_path(bundle)
    write_atomically(path, strictjson.dump(kept) + b"\n")
    return Entered(_text(answer, "entry"), plain(_text(answer, "link")), path), _offset(answer), _text(answer, "state")


def _send_pieces(file: BinaryIO, wire: Wire, entry: str, offset: int, size: int) -> bool:
    """Send what is missing; False: the server lost some, and wants the claim again."""
    standstill = 0
    with tqdm(total=size, initial=offset, unit="B", unit_scale=True, desc="sending", leave=False, disable=None) as bar:
        while offset < size:
            file.seek(offset)
            piece = file.read(PIECE)
            answer = wire.ask("PATCH", f"/api/entries/{entry}", piece, {**_kind(), "Upload-Offset": str(offset)})
            if answer.status == 410 or answer.data.get("error") == "not-receiving":
                return False  # the claim, sent again, tells what has become of the entry
            if answer.status == 200 or "offset" in answer.data:  # also: it has more, or less, than we thought
                before, offset = offset, _offset(answer)
            else:
                raise refused(answer)
            standstill = standstill + 1 if offset <= before else 0
            if standstill > MOST_STANDSTILL or not 0 <= offset <= size:
                raise UploadError("the event takes the pieces and never has them: tell the organizer")
            bar.update(offset - before)
    return True


def _kind() -> dict[str, str]:
    return {"Content-Type": "application/octet-stream"}


def _offset(answer: Answer) -> int:
    offset = answer.data.get("offset")
    if type(offset) is not int or offset < 0:
        raise UploadError("what answers is no verse arena: check the address")
    return offset


def _text(answer: Answer, key: str) -> str:
    value = answer.data.get(key)
    if not isinstance(value, str):
        raise UploadError("what answers is no verse arena: check the address")
    return value
