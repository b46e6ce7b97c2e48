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
    """Store a piece of a bundle; after the last one, the entry waits for its check.

    Args:
        db: the event's database.
        bundles: the store of whole bundles.
        spool: where uploads are kept until they are complete.
        entry_id: the entry.
        secret: that of the person who asks.
        offset: the place of the first byte, in bytes from the start of the file.
        data: at most `PIECE_BYTES`.
        now: seconds since the epoch.

    Returns:
        The entry's new status.

    Raises:
        BadSecret: The secret has the wrong form.
        EntryNotFound: There is none, or it is somebody else's.
        WrongOffset: It does not start where the stored bytes end.
        PieceTooLarge: It has too many bytes, or ends after the bundle's end.
        NotReceiving: The entry has all its bytes, or has left the event.
        TensorsDiffer: All bytes are here, and they are not those of the claim.
        BytesLost: The disk lost the stored bytes.
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
        count = _update(session, entry_id, Entry.received == offset, received=offset + len(data))
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
    """Accept and store a whole bundle at once, as the web form sends it.

    Args:
        db: the event's database.
        bundles: the store of whole bundles.
        spool: where uploads are kept until they are complete.
        path: the bundle's file.
        secret: the owner's.
        name: the author's name, as people will read it; untrusted.
        key: the private key that signs the receipt.
        now: seconds since the epoch.

    Returns:
        The signed receipt.

    Raises:
        BadSecret: The secret has the wrong form.
        BadName: The name is not one line of 1 to 40 characters.
        BadClaim: The header is not that of a bundle.
        OverLimits: The verse is longer than the event allows, or empty.
        SubmissionsNotOpen: Submissions are not open yet.
        SubmissionsClosed: Submissions are closed.
        QuotaReached: The owner, or the event, has too many entries.
        LittleSpace: The disk is nearly full.
        TensorsDiffer: The tensors are not those of the claim.
        BytesLost: The disk lost the stored bytes.
    """
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
    """Remove the files that a crash left. For a server's start.

    Args:
        db: the event's database.
        bundles: the store of whole bundles.
        spool: where uploads are kept until they are complete.

    Returns:
        The number of files removed.
    """
    with db.reading() as session:
        receiving = set(session.scalars(select(Entry.id).where(Entry.state == "receiving")))
    leftovers = [path for path in spool.parts() if path.stem not in receiving]
    leftovers += [*spool.leftovers(), *bundles.leftovers()]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def _complete(db: Database, bundles: BundleStore, spool: Spool, entry: Entry, secret: str, now: float) -> EntryStatus:
    """Store the bundle of an entry whose bytes are all on the disk, and queue the entry for its check."""
    try:
        part = spool.complete(entry.id, entry.header_bytes, entry.size)
        is_same = part.size == entry.size and part.tensors_sha256 == entry.tensors_sha256
        if is_same:
            bundles.put(part.path, part.digest)
    except FileNotFoundError:
        return _after_lost_part(db, entry.id, secret, now)
    with db.writing() as session:
        if is_same:
            values = {"received": entry.size, "bundle": part.digest, "state": "waiting", "queued_at": now}
            if _update(session, entry.id, **values):
                event = the_event(session)
                data = {"entry": entry.id, "bundle": salted(event.salt, part.digest)}
                append(session, "bundle-complete", data, now=now)
        else:
            _update(session, entry.id, received=entry.header_bytes)
    if not is_same:
        raise TensorsDiffer(entry.header_bytes)
    spool.drop(entry.id)
    return entry_status(db, entry.id, secret, now=now)


def _after_lost_part(db: Database, entry_id: str, secret: str, now: float) -> EntryStatus:
    """Return the status of an entry without a part: the bundle is complete by now, or the part was lost."""
    status = entry_status(db, entry_id, secret, now=now)
    if status.state == "receiving":
        raise BytesLost
    return status


def _update(session: Session, entry_id: str, *conditions: Any, **values: Any) -> int:
    """Change the row of an entry that is being received; return the number of rows changed."""
    statement = update(Entry).where(Entry.id == entry_id, Entry.state == "receiving", *conditions).values(**values)
    result = session.execute(statement.execution_options(synchronize_session=False))
    return cast("CursorResult[Any]", result).rowcount
