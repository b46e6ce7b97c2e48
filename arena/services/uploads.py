"""Uploads: the bytes of an entry arrive in pieces or as one file; when all are here, the entry waits for its check."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from arena.errors import BadClaim, BundlesUnreachable, BytesLost, LittleSpace, PieceTooLarge, TensorsDiffer, WrongOffset
from arena.services.claims import make_receipt, take_claim
from arena.services.digests import digest_of_bundle
from arena.services.entries import entry_status, own_entry, own_receiving
from arena.services.identity import identify
from arena.services.log import append
from arena.services.schemas import EntryStatus, Receipt
from arena.services.verification import enqueue
from arena.store.bundles import BundleStore
from arena.store.schema import Entry
from arena.store.spool import Spool
from arena.store.unit_of_work import Database
from trainer.verse.bundle_file import read_claim
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
        LittleSpace: The disk is nearly full.
        TensorsDiffer: All bytes are here, and they are not those of the claim.
        BytesLost: This host does not have the bytes before it: the claim is to be sent again.
    """
    if len(data) > PIECE_BYTES:
        raise PieceTooLarge(len(data), PIECE_BYTES)
    with spool.lock(entry_id):  # a piece sent twice at once: the second finds another offset
        with db.reading() as session:
            entry = own_receiving(session, entry_id, identify(session, secret), now)
            if offset != entry.received:
                raise WrongOffset(entry.received)
            if offset + len(data) > entry.size:
                raise PieceTooLarge(len(data), entry.size - offset)
        if spool.size(entry_id) < offset:  # the bytes before it are on another host, or lost
            raise BytesLost
        _check_space(spool, len(data))
        try:
            spool.write(entry_id, offset, data)
        except FileNotFoundError:
            raise BytesLost from None
        if offset + len(data) == entry.size:
            _complete(db, bundles, spool, entry, now)
        else:
            with db.writing() as session:
                _update(session, entry_id, received=offset + len(data), heard_at=now)
    return entry_status(db, entry_id, secret, now=now)


def take_file(
    db: Database,
    bundles: BundleStore,
    spool: Spool,
    path: Path,
    secret: str,
    name: str,
    *,
    by_organizer: bool = False,
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
        by_organizer: whether the organizer enters it for somebody, who needs no ticket.
        key: the private key that signs the receipt.
        now: seconds since the epoch.

    Returns:
        The signed receipt.

    Raises:
        BadSecret: The secret has the wrong form.
        BadName: The name is not one line of 1 to 40 characters.
        BadClaim: The header is not that of a bundle.
        OverLimits: The verse is longer than the event allows, or empty, or its check costs more than the event allows.
        SubmissionsNotOpen: Submissions are not open yet.
        SubmissionsClosed: Submissions are closed.
        OtherModel: Submissions are closed, and it is not the model of the undecided verse that it would replace.
        QuotaReached: The owner has too many entries, or all places of the event are taken.
        LittleSpace: The disk has no room that is not promised to others.
        TensorsDiffer: The tensors are not those of the claim.
        BytesLost: The disk lost the stored bytes.
    """
    try:
        claim = read_claim(path)  # also that the file is complete
    except BundleError as error:
        raise BadClaim(error.code, str(error)) from None
    with path.open("rb") as file:
        header = file.read(claim.header_bytes)
    receipt = take_claim(db, bundles, spool, header, secret, name, by_organizer=by_organizer, key=key, now=now)
    if receipt.state != "receiving":
        return receipt
    with spool.lock(receipt.entry):
        with db.reading() as session:
            entry = own_entry(session, receipt.entry, identify(session, secret))
        if entry.state == "receiving":
            _check_space(spool, entry.size - entry.received)
            try:
                spool.fill(receipt.entry, path)
            except FileNotFoundError:
                raise BytesLost from None
            _complete(db, bundles, spool, entry, now)
    with db.reading() as session:
        return make_receipt(own_entry(session, receipt.entry, identify(session, secret)), receipt.repeated, key)


def clear_leftovers(db: Database, bundles: BundleStore, spool: Spool) -> None:
    """Remove the files that a crash left, and reopen the uploads that it interrupted. For a server's start.

    Args:
        db: the event's database.
        bundles: the store of whole bundles.
        spool: where uploads are kept until they are complete.
    """
    for path in (*spool.leftovers(), *bundles.leftovers()):
        path.unlink(missing_ok=True)
    for entry_id in spool.complete_parts():  # their last piece has not counted, and is sent again
        spool.reopen(entry_id)
    drop_parts(db, spool)
    with db.reading() as session:
        known = set(session.scalars(select(Entry.id)))
    for entry_id in spool.parts():
        if entry_id not in known:
            spool.drop(entry_id)


def drop_parts(db: Database, spool: Spool) -> int:
    """Remove the parts of entries that receive no more: withdrawn, disqualified and expired ones. Call it every second.

    Args:
        db: the event's database.
        spool: where uploads are kept until they are complete.

    Returns:
        The number of parts removed.
    """
    parts = spool.parts()
    gone = Entry.id.in_(parts) & (Entry.state != "receiving")
    if not parts:
        return 0
    with db.reading() as session:
        if session.scalar(select(Entry.id).where(gone).limit(1)) is None:
            return 0
    with db.writing() as session:  # so that no claim begins the part of such an entry again meanwhile
        dropped = session.scalars(select(Entry.id).where(gone)).all()
        for entry_id in dropped:
            spool.drop(entry_id)
        return len(dropped)


def _check_space(spool: Spool, size: int) -> None:
    """Refuse bytes that the disk has no room for: other programs use it, too."""
    if (free := spool.free_bytes()) < size:
        raise LittleSpace(free, size)


def _complete(db: Database, bundles: BundleStore, spool: Spool, entry: Entry, now: float) -> None:
    """Store the bundle of an entry whose bytes are all on the disk, and queue the entry for its check."""
    try:
        part = spool.complete(entry.id, entry.header_bytes, entry.size)
    except FileNotFoundError:
        raise BytesLost from None
    if (part.size, part.tensors_sha256) != (entry.size, entry.tensors_sha256):
        spool.reopen(entry.id)
        with db.writing() as session:
            _update(session, entry.id, received=entry.header_bytes)
        raise TensorsDiffer(entry.header_bytes)
    try:
        bundles.put(part.path, part.digest)
    except BundlesUnreachable:
        spool.reopen(entry.id)  # its last piece has not counted, and is sent again
        raise
    with db.writing() as session:
        if _update(session, entry.id, received=entry.size, bundle=part.digest):
            data = {"entry": entry.id, "bundle": digest_of_bundle(session, entry.id, part.digest)}
            append(session, "bundle-complete", data, now=now)
            enqueue(session, session.get_one(Entry, entry.id), now=now)


def _update(session: Session, entry_id: str, **values: Any) -> int:
    """Change the row of an entry that is being received; return the number of rows changed."""
    statement = update(Entry).where(Entry.id == entry_id, Entry.state == "receiving").values(**values)
    result = session.execute(statement.execution_options(synchronize_session=False))
    return cast("CursorResult[Any]", result).rowcount
