"""Entries: claims are accepted or refused, their owners read and withdraw them, and late ones expire."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from arena.errors import (
    BadClaim,
    EntryNotFound,
    LittleSpace,
    OverLimits,
    QuotaReached,
    SubmissionsClosed,
    SubmissionsNotOpen,
    WrongState,
)
from arena.rules.lifecycle import GIVEN_UP, LIVE, UNDECIDED, Action, allows, is_drawn, is_grace_over, state_at
from arena.services.events import clean_name, the_event
from arena.services.identity import Identity, identify
from arena.services.log import append, salted
from arena.services.receipts import sign
from arena.services.schemas import EntryStatus, Receipt
from arena.store.bundles import BundleStore
from arena.store.schema import Entry, Event, Owner
from arena.store.spool import Spool
from arena.store.unit_of_work import Database
from trainer.verse import strictjson
from trainer.verse.claim import LENGTH_BYTES, Claim, header_length, parse_claim
from trainer.verse.errors import BundleError
from trainer.verse.text import pluralize

MAX_AUTHOR = 40  # characters of a display name: one line on a phone
MAX_PROVENANCE = 32 * 2**10  # bytes kept in the database; the bundle has all of it
TOO_CLOSE = "too-close"  # code of an UNDECIDED verdict, which is nobody's fault


def take_claim(
    db: Database,
    bundles: BundleStore,
    spool: Spool,
    header: bytes,
    secret: str,
    name: str,
    *,
    key: str,
    now: float,
) -> Receipt:
    """Accept the header of a bundle as the claim of an entry, and sign a receipt.

    The same claim by the same owner gives the same receipt again, with the offset to continue from.

    Args:
        db: the event's database.
        bundles: the store of whole bundles.
        spool: where uploads are kept until they are complete.
        header: the bundle's bytes up to the first tensor.
        secret: the owner's.
        name: the author's name, as people will read it; untrusted.
        key: the private key that signs the receipt (`receipts`).
        now: when the claim had arrived whole, seconds since the epoch.

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
    """
    with db.reading() as session:
        owner = identify(session, secret).owner_id
    name = clean_name(name, MAX_AUTHOR, "an author's name")
    digest = hashlib.sha256(header).hexdigest()
    entry_id = entry_id_of(owner, digest)
    claim = _parse(header)
    spool.start(entry_id, header)  # bytes before the row; a part without a row is removed at the next start
    try:
        with db.writing() as session:
            event = the_event(session)
            entry = session.get(Entry, entry_id)
            repeated = entry is not None
            if entry is None or entry.state in GIVEN_UP:
                _admit(session, spool, event, owner, claim, entry, now)
                entry = _enter(session, bundles, event, entry, owner, digest, name, claim, now)
            elif entry.name != name and allows(event.state, Action.RENAME_ENTRY):
                entry.name = name
                append(session, "entry-renamed", {"entry": entry_id}, now=now)
            if entry.state == "receiving" and repeated and spool.size(entry_id) < entry.received:
                entry.received = entry.header_bytes  # the disk lost some: start again
            kept = entry.state == "receiving"
            receipt = make_receipt(entry, repeated, key)
    except BaseException:
        with db.reading() as session:
            if (entry := session.get(Entry, entry_id)) is None or entry.state != "receiving":
                spool.drop(entry_id)
        raise
    if not kept:
        spool.drop(entry_id)
    return receipt


def entry_status(db: Database, entry_id: str, secret: str, *, now: float) -> EntryStatus:
    """Return the status of an entry, for its owner.

    Args:
        db: the event's database.
        entry_id: the entry.
        secret: that of the person who asks.
        now: seconds since the epoch.

    Raises:
        BadSecret: The secret has the wrong form.
        EntryNotFound: There is none, or it is somebody else's.
    """
    with db.reading() as session:
        entry = own_entry(session, entry_id, identify(session, secret))
        return _status(session, the_event(session), entry, now)


def entries_of(db: Database, secret: str, *, now: float) -> list[EntryStatus]:
    """Return the status of all entries of one owner, the latest claim first.

    Args:
        db: the event's database.
        secret: the owner's.
        now: seconds since the epoch.

    Raises:
        BadSecret: The secret has the wrong form.
    """
    with db.reading() as session:
        owner_id = identify(session, secret).owner_id
        event = the_event(session)
        query = select(Entry).where(Entry.owner_id == owner_id).order_by(Entry.claimed_at.desc(), Entry.id)
        return [_status(session, event, entry, now) for entry in session.scalars(query)]


def withdraw(db: Database, entry_id: str, secret: str, *, now: float) -> EntryStatus:
    """Withdraw an entry, before the bracket is drawn.

    Args:
        db: the event's database.
        entry_id: the entry.
        secret: that of the person who asks.
        now: seconds since the epoch.

    Returns:
        The entry's new status.

    Raises:
        BadSecret: The secret has the wrong form.
        EntryNotFound: There is none, or it is somebody else's.
        WrongState: The bracket is drawn, or the entry has left the event.
    """
    with db.writing() as session:
        event, entry = the_event(session), own_entry(session, entry_id, identify(session, secret))
        if entry.state != "withdrawn":
            if not _may_withdraw(event, entry):
                raise WrongState(Action.WITHDRAW.value, event.state, "open or closed, and the verse still in")
            entry.state, entry.code, entry.reason, entry.lease_until = "withdrawn", None, None, None
            append(session, "entry-withdrawn", {"entry": entry_id}, now=now)
        return _status(session, event, entry, now)


def expire_claims(db: Database, *, now: float) -> int:
    """Let claims expire whose tensors did not follow within the grace time; return how many."""
    with db.reading() as session:
        if not is_grace_over(the_event(session), now) or not session.scalar(_count(Entry.state == "receiving")):
            return 0
    with db.writing() as session:
        if not is_grace_over(the_event(session), now):
            return 0
        return expire(session, session.scalars(select(Entry).where(Entry.state == "receiving")).all(), now=now)


def expire(session: Session, entries: Sequence[Entry], *, now: float) -> int:
    """Let entries expire.

    Args:
        session: a writing transaction.
        entries: those that expire.
        now: seconds since the epoch.

    Returns:
        Their number.
    """
    for entry in entries:
        entry.state, entry.lease_until = "expired", None
        append(session, "entry-expired", {"entry": entry.id, "received": entry.received}, now=now)
    return len(entries)


def entry_id_of(owner: str, claim_digest: str) -> str:
    """Compute an entry's id: 32 hexadecimal digits of SHA-256("verse-entry-id-1" | owner | claim digest).

    It depends on nothing else, so the same event played again has the same draw.
    """
    return hashlib.sha256(b"verse-entry-id-1" + owner.encode() + claim_digest.encode()).hexdigest()[:32]


def may_reinstate(event: Event, entry: Entry) -> bool:
    """Whether a disqualified entry can take part again: it was verified, and it is in the bracket if there is one."""
    in_bracket = entry.seed is not None or not is_drawn(event.state)
    return (
        allows(event.state, Action.REINSTATE)
        and entry.state == "disqualified"
        and entry.verdict == "PASS"
        and in_bracket
    )


def reason_of(entry: Entry, place: int | None) -> str:
    """Describe an entry's state in one sentence, which may hold untrusted text."""
    match entry.state:
        case "receiving":
            return f"{entry.received:,} of {entry.size:,} bytes have arrived, and the rest must follow"
        case "waiting" if entry.failures:
            return "the check could not be done and will be tried again; that is a fault of the server, not yours"
        case "waiting":
            ahead = (place or 1) - 1
            return (
                f"the upload is complete; {ahead} to check before it"
                if ahead
                else "the upload is complete; it is checked next"
            )
        case "verifying":
            return "the server writes the verse again and compares the two texts"
        case "verified":
            return "the server wrote exactly the same verse"
        case "expired":
            return entry.reason or "the upload was not complete when the grace time ended"
        case "replaced":
            return "a later verse of yours replaced it"
        case "withdrawn":
            return "you withdrew it"
        case _:
            return entry.reason or "it does not take part"


def queue_place(session: Session, entry: Entry) -> int | None:
    """Return an entry's place in the queue while it waits: 1 is checked next."""
    if entry.state != "waiting" or entry.queued_at is None:
        return None
    earlier = (Entry.queued_at < entry.queued_at) | ((Entry.queued_at == entry.queued_at) & (Entry.id < entry.id))
    return 1 + (session.scalar(_count(Entry.state == "waiting", earlier)) or 0)


def _parse(header: bytes) -> Claim:
    try:
        total = header_length(header[:LENGTH_BYTES])
        if len(header) > total:
            raise BundleError("trailing-bytes", f"the claim has {len(header):,} bytes, its header {total:,}")
        return parse_claim(header)
    except BundleError as error:
        raise BadClaim(error.code, str(error)) from None


def _admit(
    session: Session, spool: Spool, event: Event, owner: str, claim: Claim, entry: Entry | None, now: float
) -> None:
    """Refuse a claim that the event's rules do not allow now."""
    _check_open(session, event, owner, now)
    lines = sum(1 for line in claim.text.split("\n") if line.strip(" "))
    if not 1 <= lines <= event.lines:
        allowed = f"at most {event.lines}" if lines else "at least one"
        raise OverLimits(
            f"the verse has {lines} lines, and this event wants {allowed}: choose another verse",
            lines=lines,
            max_lines=event.lines,
        )
    if len(claim.text) > event.characters:
        raise OverLimits(
            f"the verse has {len(claim.text):,} characters and this event wants at most {event.characters:,}: "
            "ask for fewer lines or tokens",
            characters=len(claim.text),
            max_characters=event.characters,
        )
    if len(claim.prompt) > event.prompt_characters:
        raise OverLimits(
            f"the prompt has {len(claim.prompt):,} characters and this event wants at most "
            f"{event.prompt_characters:,}: give a shorter --prompt",
            prompt_characters=len(claim.prompt),
            max_prompt_characters=event.prompt_characters,
        )
    by_owner = Entry.owner_id == owner
    undecided = session.scalar(_count(by_owner, Entry.state.in_(UNDECIDED))) or 0
    if undecided >= event.max_open:
        raise QuotaReached(
            f"{pluralize(undecided, 'of your verses is', 'of your verses are')} not checked yet: wait, or withdraw one",
            limit=event.max_open,
        )
    if entry is None and (session.scalar(_count(by_owner)) or 0) >= event.max_claims:
        raise QuotaReached(
            f"you have entered {pluralize(event.max_claims, 'verse')}, and no more are taken from one person",
            limit=event.max_claims,
        )
    if entry is None and (session.scalar(_count()) or 0) >= event.max_entries:
        raise QuotaReached(
            f"this event has its maximum of {event.max_entries:,} verses: tell the organizer", limit=event.max_entries
        )
    if (free := spool.free_bytes() - claim.size) < spool.min_free:
        raise LittleSpace(free, spool.min_free)


def _check_open(session: Session, event: Event, owner: str, now: float) -> None:
    """Refuse an owner who may not enter a verse now."""
    if event.state == "draft":
        raise SubmissionsNotOpen
    if state_at(event, now) == "open":
        return
    if allows(event.state, Action.SEND_CLAIM) and not is_grace_over(event, now) and _was_too_close(session, owner):
        return
    raise SubmissionsClosed(event.closes_at if event.state == "open" else event.closed_at)


def _was_too_close(session: Session, owner: str) -> bool:
    """Whether the owner's latest verse was refused for a decision too close to call, and none is in."""
    query = select(Entry.state, Entry.code).where(Entry.owner_id == owner, Entry.state != "withdrawn")
    rows = session.execute(query.order_by(Entry.claimed_at.desc(), Entry.id)).all()
    return bool(rows) and tuple(rows[0]) == ("refused", TOO_CLOSE) and all(row.state not in LIVE for row in rows)


def _enter(
    session: Session,
    bundles: BundleStore,
    event: Event,
    entry: Entry | None,
    owner: str,
    digest: str,
    name: str,
    claim: Claim,
    now: float,
) -> Entry:
    """Make the row of an entry, or use the row of an earlier entry with the same claim."""
    if session.get(Owner, owner) is None:
        session.add(Owner(id=owner, created_at=now))
        session.flush()
    if entry is None:
        entry = Entry(
            id=entry_id_of(owner, digest),
            owner_id=owner,
            claim_digest=digest,
            size=claim.size,
            header_bytes=claim.header_bytes,
            tensors_sha256=claim.tensors_sha256,
            text=claim.text,
            prompt=claim.prompt,
            facts=_facts(claim),
        )
        session.add(entry)
    entry.name, entry.claimed_at = name, now
    entry.code = entry.reason = entry.verdict = None
    if entry.bundle is not None and bundles.has(entry.bundle):
        entry.state, entry.queued_at, entry.received = "waiting", now, entry.size
    else:
        entry.state, entry.queued_at, entry.received, entry.bundle = "receiving", None, entry.header_bytes, None
    session.flush()
    append(session, "claim-taken", {"entry": entry.id, "claim": salted(event.salt, digest)}, now=now)
    return entry


def _facts(claim: Claim) -> dict[str, Any]:
    provenance = dict(claim.provenance)
    if len(strictjson.dump(provenance)) > MAX_PROVENANCE:
        provenance = {}
    return {
        "recipe": claim.recipe.to_dict(),
        "config": claim.config.to_dict(),
        "certificate": claim.certificate.to_dict(),
        "provenance": provenance,
        "n_params": claim.config.n_params,
        "tensors_sha256": claim.tensors_sha256,
    }


def _count(*conditions: Any) -> Any:
    return select(func.count()).select_from(Entry).where(*conditions)


def own_entry(session: Session, entry_id: str, identity: Identity) -> Entry:
    """Return an entry of whoever is asking; `EntryNotFound` where it is not theirs."""
    entry = session.get(Entry, entry_id)
    if entry is None or entry.owner_id != identity.owner_id:
        raise EntryNotFound
    return entry


def _may_withdraw(event: Event, entry: Entry) -> bool:
    return entry.state in LIVE and allows(event.state, Action.WITHDRAW)


def _may_replace(session: Session, event: Event, owner: str, now: float) -> bool:
    try:
        _check_open(session, event, owner, now)
    except (SubmissionsClosed, SubmissionsNotOpen):
        return False
    return True


def make_receipt(entry: Entry, repeated: bool, key: str) -> Receipt:
    """Sign what an entry's row says about its claim."""
    unsigned = Receipt(
        entry=entry.id,
        claim=entry.claim_digest,
        received=float(entry.claimed_at),
        signature="",
        offset=entry.received,
        size=entry.size,
        state=entry.state,
        repeated=repeated,
    )
    return replace(unsigned, signature=sign(key, unsigned.fields()))


def _status(session: Session, event: Event, entry: Entry, now: float) -> EntryStatus:
    place = queue_place(session, entry)
    return EntryStatus(
        entry=entry.id,
        name=entry.name,
        state=entry.state,
        received=entry.received,
        size=entry.size,
        place=place,
        verdict=entry.verdict,
        code=entry.code,
        reason=reason_of(entry, place),
        text=entry.text,
        prompt=entry.prompt,
        claimed_at=entry.claimed_at,
        may_replace=_may_replace(session, event, entry.owner_id, now),
        may_withdraw=_may_withdraw(event, entry),
    )
