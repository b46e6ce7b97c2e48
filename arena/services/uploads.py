"""Uploads: the bytes of an entry arrive in pieces or as one file; when all are here, the entry waits for its check."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from arena.errors import BadClaim, BytesLost, NotReceiving, PieceTooLarge, TensorsDiffer, WrongOffset
from arena.rules.lifecycle import is_grace_over
from arena.services.entries import entry_status, make_receipt, own_entry, take_claim
from arena.services.events import the_event
from arena.services.identity import identify
from arena.services.log import append, salted
from arena.services.schemas import EntryStatus, Receipt
from arena.store.bundles import BundleStore
from arena.store.schema import Entry
from arena.store.spool import Spool
from arena.store.unit_of_work import Database
from trainer.verse.bundle import read_claim
from trainer.verse.errors import BundleError

PIECE_BYTES = 2**20  # of one piece, at most: what a server holds in memory for each upload under way


def take_piece(
    db: Database,
    bundles: BundleStore,
    spool: Spool,
    entry_id: str,
    secret: str,
    offset: int,
    data: bytes,
    *,
    now: float,
) -> EntryStatus:
    """Take bytes of a bundle that follow those already here; with the last, the entry waits for its check.

    Args:
        offset: of the first byte, counted from the start of the file.

    Raises:
        EntryNotFound, WrongOffset, PieceTooLarge, NotReceiving.
        TensorsDiffer: all are here and they are the wrong ones.
        BytesLost: the disk lost the part.
    """
    if len(data) > PIECE_BYTES:
        raise PieceTooLarge(len(data), PIECE_BYTES)
    with db.reading() as session:
        identity = identify(session, secret)
        event, entry = the_event(session), own_entry(session, entry_id, identity)
        if entry.state != "receiving":
            raise NotReceiving(entry.state)
        if is_grace_over(event, now):
            raise NotReceiving("expired")
        if offset != entry.received:
            raise WrongOffset(entry.received)
        if offset + len(data) > entry.size:
            raise PieceTooLarge(len(data), entry.size - offset)
    try:
        spool.write(entry_id, offset, data)
    except FileNotFoundError:
        return _after_lost_part(db, entry_id, secret, now)
    if offset + len(data) == entry.size:
        return _complete(db, bundles, spool, entry, secret, now)
    with db.writing() as session:
        count = _update(session, Entry.received == offset, entry_id, received=offset + len(data))
        current = own_entry(session, entry_id, identity)
        if not count and current.state == "receiving":  # the same piece, sent twice at once: one of them counts
            raise WrongOffset(current.received)
    return entry_status(db, entry_id, secret, now=now)


def take_file(
    db: Database,
    bundles: BundleStore,
    spool: Spool,
    path: Path,
    secret: str,
    name: str,
    *,
    key: str,
    now: float,
) -> Receipt:
    """Take a whole bundle at once, as the plain web form sends it; raises as `take_claim` and `take_piece` do."""
    try:
        claim = read_claim(path)  # also that the file is complete
    except BundleError as error:
        raise BadClaim(error.code, str(error)) from None
    with path.open("rb") as file:
        header = file.read(claim.header_bytes)
    receipt = take_claim(db, bundles, spool, header, secret, name, key=key, now=now)
    if receipt.state == "receiving":
        with db.reading() as session:
            entry = own_entry(session, receipt.entry, identify(session, secret))
        try:
            spool.fill(receipt.entry, path)
        except FileNotFoundError:
            _after_lost_part(db, receipt.entry, secret, now)
        else:
            _complete(db, bundles, spool, entry, secret, now)
        with db.reading() as session:
            return make_receipt(own_entry(session, receipt.entry, identify(session, secret)), receipt.repeated, key)
    return receipt


def sweep_parts(db: Database, bundles: BundleStore, spool: Spool) -> int:
    """Remove parts of entries that wait for no bytes, as crashes leave them; how many. For a server's start."""
    with db.reading() as session:
        wanted = set(session.scalars(select(Entry.id).where(Entry.state == "receiving")))
    unwanted = [path for path in spool.parts() if path.stem not in wanted]
    unwanted += [*spool.leftovers(), *bundles.leftovers()]
    for path in unwanted:
        path.unlink(missing_ok=True)
    return len(unwanted)


def _complete(db: Database, bundles: BundleStore, spool: Spool, entry: Entry, secret: str, now: float) -> EntryStatus:
    """All bytes of an entry are on the disk: name the file by its digest and queue the entry."""
    try:
        part = spool.complete(entry.id, entry.header_bytes, entry.size)
        right = part.size == entry.size and part.tensors_sha256 == entry.tensors_sha256
        if right:
            bundles.put(part.path, part.digest)
    except FileNotFoundError:
        return _after_lost_part(db, entry.id, secret, now)
    with db.writing() as session:
        if right:
            values = {"received": entry.size, "bundle": part.digest, "state": "waiting", "queued_at": now}
            if _update(session, Entry.state == "receiving", entry.id, **values):
                event = the_event(session)
                data = {"entry": entry.id, "bundle": salted(event.salt, part.digest)}
                append(session, "bundle-complete", data, now=now)
        else:
            _update(session, Entry.state == "receiving", entry.id, received=entry.header_bytes)
            append(session, "tensors-differ", {"entry": entry.id}, now=now)
    if not right:
        raise TensorsDiffer(entry.header_bytes)
    spool.drop(entry.id)
    return entry_status(db, entry.id, secret, now=now)


def _after_lost_part(db: Database, entry_id: str, secret: str, now: float) -> EntryStatus:
    """There was no part to write to: because the bundle is complete since a moment ago, or because it is lost."""
    status = entry_status(db, entry_id, secret, now=now)
    if status.state == "receiving":
        raise BytesLost
    return status


def _update(session: Session, condition: Any, entry_id: str, **values: Any) -> int:
    """Change one entry's row if the condition holds; how many rows that was."""
    statement = update(Entry).where(Entry.id == entry_id, Entry.state == "receiving", condition).values(**values)
    result = session.execute(statement.execution_options(synchronize_session=False))
    return cast("CursorResult[Any]", result).rowcount
