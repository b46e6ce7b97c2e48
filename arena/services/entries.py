"""Entries: claims are accepted or refused, their owners read and withdraw them, and late ones expire."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import false, func, select
from sqlalchemy.orm import Session

from arena.errors import (
    BadClaim,
    EntryNotFound,
    LittleSpace,
    NotReceiving,
    OtherModel,
    OtherName,
    OverLimits,
    QuotaReached,
    SubmissionsClosed,
    SubmissionsNotOpen,
    WrongState,
)
from arena.rules.bracket import MAX_PLACES
from arena.rules.chain import (
    bundle_digest,
    compute_entry_id,
    entry_key,
    log_salt,
    name_digest,
    reason_digest,
    salted,
    verse_digest,
)
from arena.rules.lifecycle import GIVEN_UP, LIVE, UNDECIDED, Action, allows, is_drawn, is_grace_over, state_at
from arena.services.events import clean_name, the_event
from arena.services.identity import Identity, identify
from arena.services.log import append
from arena.services.receipts import sign
from arena.services.schemas import EntryStatus, Receipt
from arena.services.verification import enqueue, queue_places
from arena.store.bundles import BundleStore
from arena.store.schema import Entry, Event, Owner
from arena.store.spool import Spool
from arena.store.unit_of_work import Database
from arena.verification.cost import MIB, Cost, estimate_cost
from trainer.verse import strictjson
from trainer.verse.characters import appearance_fault
from trainer.verse.claim import LENGTH_BYTES, Claim, header_length, parse_claim
from trainer.verse.errors import BundleError
from trainer.verse.text import pluralize

MAX_AUTHOR = 40  # characters of a display name: one line on a phone
IDLE_SECONDS = 900.0  # without bytes, until a claim expires while submissions are open
MAX_PROVENANCE = 32 * 2**10  # bytes kept in the database; the bundle has all of it
CHANGES_PER_CLAIM = 5  # of one owner, for each claim that the event allows: claims, new names, withdrawals
TOO_CLOSE = "too-close"  # code of an UNDECIDED verdict, which is nobody's fault


def take_claim(
    db: Database,
    bundles: BundleStore,
    spool: Spool,
    header: bytes,
    secret: str,
    name: str,
    *,
    replace: bool = False,
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
        replace: whether it may replace a verse that the owner has entered under another name.
        key: the private key that signs the receipt (`receipts`).
        now: when the claim had arrived whole, seconds since the epoch.

    Returns:
        The signed receipt.

    Raises:
        BadSecret: The secret has the wrong form.
        BadName: The name is not one line of 1 to 40 characters.
        BadClaim: The header is not that of a bundle.
        OverLimits: The verse is longer than the event allows, empty, cannot be shown, or its check costs more than the
            event allows.
        SubmissionsNotOpen: Submissions are not open yet.
        SubmissionsClosed: Submissions are closed.
        OtherName: The owner has entered a verse under another name, and may be another person at the same computer.
        OtherModel: Submissions are closed, and it is not the model of the undecided verse that it would replace.
        QuotaReached: The owner has too many entries or has changed them too often, or all places are taken.
        LittleSpace: The disk has no room that is not promised to others.
    """
    name = clean_name(name, MAX_AUTHOR, "an author's name")
    digest = hashlib.sha256(header).hexdigest()
    with db.reading() as session:  # what can be refused without reading the header comes first
        owner = identify(session, secret).owner_id
        entry_id = compute_entry_id(owner, digest)
        entry = session.get(Entry, entry_id)
        is_new = entry is None or entry.state in GIVEN_UP
        if is_new:
            _check_owner(session, the_event(session), owner, entry, now)
            if not replace:
                _check_name(session, owner, name)
    examined = _examine(header) if is_new else None
    kept = entry.bundle if entry and entry.bundle and bundles.is_whole(entry.bundle) else None
    with spool.lock(entry_id):
        with db.writing() as session:
            event = the_event(session)
            entry = session.get(Entry, entry_id)
            repeated = entry is not None
            if entry is None or entry.state in GIVEN_UP:
                claim, cost = examined or _examine(header)  # it was given up meanwhile
                _admit(session, spool, event, owner, claim, cost, entry, now)
                entry = _enter(session, event, entry, owner, digest, name, claim, cost, kept, now)
            elif entry.name != name and allows(event.state, Action.RENAME_ENTRY):
                _count_change(session, event, owner)
                entry.name = name
                digest_of_name = name_digest(entry_key(event.salt, entry_id), name)
                append(session, "entry-renamed", {"entry": entry_id, "name": digest_of_name}, now=now)
            if entry.state == "receiving" and repeated:
                entry.heard_at = now
                if spool.size(entry_id) < entry.received:
                    entry.received = entry.header_bytes  # the disk lost some: start again
            receipt = make_receipt(entry, repeated, key)
        if entry.state == "receiving":
            spool.start(entry_id, header)  # after the row: `uploads.drop_parts` removes parts that no row receives
    return receipt


def check_sender(db: Database, secret: str, *, now: float) -> None:
    """Refuse a claim, whatever it holds, of somebody who can send none now. Who owns an entry may send its claim again.

    Args:
        db: the event's database.
        secret: that of the person who asks.
        now: seconds since the epoch.

    Raises:
        BadSecret: The secret has the wrong form.
        SubmissionsNotOpen: Submissions are not open yet.
        SubmissionsClosed: Submissions are closed.
    """
    with db.reading() as session:
        owner = identify(session, secret).owner_id
        event = the_event(session)
        if session.get(Owner, owner) is None:
            _check_open(session, event, owner, now)


def check_receiving(db: Database, entry_id: str, secret: str, *, now: float) -> None:
    """Refuse a piece, whatever it holds, of an entry that takes none now.

    Args:
        db: the event's database.
        entry_id: the entry.
        secret: that of the person who asks.
        now: seconds since the epoch.

    Raises:
        BadSecret: The secret has the wrong form.
        EntryNotFound: There is none, or it is somebody else's.
        NotReceiving: The entry has all its bytes, or has left the event.
    """
    with db.reading() as session:
        entry = own_entry(session, entry_id, identify(session, secret))
        if entry.state != "receiving":
            raise NotReceiving(entry.state)
        if is_grace_over(the_event(session), now):
            raise NotReceiving("expired")


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
        QuotaReached: The owner has changed entries too often.
        WrongState: The bracket is drawn, or the entry has left the event.
    """
    with db.writing() as session:
        event, entry = the_event(session), own_entry(session, entry_id, identify(session, secret))
        if entry.state != "withdrawn":
            if not _may_withdraw(event, entry):
                raise WrongState(Action.WITHDRAW.value, event.state, "open or closed, and the verse still in")
            _count_change(session, event, entry.owner_id)
            entry.state, entry.code, entry.reason, entry.lease_until = "withdrawn", None, None, None
            append(session, "entry-withdrawn", {"entry": entry_id, "reason": None}, now=now)
        return _status(session, event, entry, now)


def expire_claims(db: Database, *, now: float) -> int:
    """Let claims expire whose tensors did not follow within the grace time; return how many.

    While submissions are open, those expire of which nothing has arrived for a while: others need their places and
    their bytes of the disk. They may be claimed again. After the closing, a claim waits until the grace time ends.
    """

    def late(session: Session) -> Any:
        event = the_event(session)
        receiving = select(Entry).where(Entry.state == "receiving")
        if _is_open(event, now):
            return receiving.where(Entry.heard_at < now - IDLE_SECONDS)
        return receiving if is_grace_over(event, now) else receiving.where(false())

    with db.reading() as session:
        if session.scalars(late(session).limit(1)).first() is None:
            return 0
    with db.writing() as session:
        is_open = _is_open(the_event(session), now)
        entries = session.scalars(late(session)).all()
        for entry in entries:
            entry.reason = f"no bytes arrived for {IDLE_SECONDS / 60:.0f} minutes: submit it again" if is_open else None
        return expire(session, entries, now=now)


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
        reason = reason_digest(entry_key(the_event(session).salt, entry.id), entry.reason)
        append(session, "entry-expired", {"entry": entry.id, "received": entry.received, "reason": reason}, now=now)
    return len(entries)


def may_reinstate(event: Event, entry: Entry) -> bool:
    """Whether a disqualified entry can take part again: it is in the bracket if there is one."""
    in_bracket = entry.seed is not None or not is_drawn(event.state)
    return allows(event.state, Action.REINSTATE) and entry.state == "disqualified" and in_bracket


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


def _parse(header: bytes) -> Claim:
    try:
        total = header_length(header[:LENGTH_BYTES])
        if len(header) > total:
            raise BundleError("trailing-bytes", f"the claim has {len(header):,} bytes, its header {total:,}")
        return parse_claim(header)
    except BundleError as error:
        raise BadClaim(error.code, str(error)) from None


def _examine(header: bytes) -> tuple[Claim, Cost]:
    """Read a claim, and estimate what its check costs. A long prompt takes time: not within a transaction."""
    claim = _parse(header)
    if fault := appearance_fault(claim.text, claim.prompt):
        raise OverLimits(f"the verse cannot be shown to an audience: {fault}; choose another verse")
    return claim, estimate_cost(claim)


def _admit(
    session: Session,
    spool: Spool,
    event: Event,
    owner: str,
    claim: Claim,
    cost: Cost,
    entry: Entry | None,
    now: float,
) -> None:
    """Refuse a claim that the event's rules do not allow now."""
    _check_owner(session, event, owner, entry, now)
    if not _is_open(event, now):
        _check_same_model(_latest(session, owner), claim)
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
    if cost.seconds > event.check_seconds:
        raise OverLimits(
            f"the check of this verse takes about {cost.seconds:,.0f} seconds and this event allows "
            f"{event.check_seconds:,.0f}: write it with a smaller model, or a shorter prompt and fewer tokens",
            seconds=cost.seconds,
            max_seconds=event.check_seconds,
        )
    if cost.memory > event.check_memory:
        raise OverLimits(
            f"the check of this verse takes {cost.memory // MIB:,} MiB of memory and this event allows "
            f"{event.check_memory // MIB:,}: write it with a smaller model, or a shorter prompt and fewer tokens",
            memory=cost.memory,
            max_memory=event.check_memory,
        )
    promised = select(func.coalesce(func.sum(Entry.size - Entry.received), 0)).where(Entry.state == "receiving")
    free = spool.free_bytes() - session.scalars(promised).one()
    if free < claim.size:
        raise LittleSpace(free, claim.size)


def _check_owner(session: Session, event: Event, owner: str, entry: Entry | None, now: float) -> None:
    """Refuse an owner who may not enter a verse now, whatever the verse.

    Args:
        session: any transaction.
        event: its event.
        owner: the owner's id.
        entry: the owner's earlier entry with the same claim.
        now: seconds since the epoch.
    """
    _check_open(session, event, owner, now)
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
    check_place(session, event, owner)


def check_place(session: Session, event: Event, owner: str) -> None:
    """Check that the bracket has a place for an owner. All verses of one owner share it, since only one can stay.

    Args:
        session: any transaction.
        event: its event.
        owner: the owner's id.

    Raises:
        QuotaReached: All places are taken by others.
    """
    others = select(func.count(Entry.owner_id.distinct())).where(Entry.state.in_(LIVE), Entry.owner_id != owner)
    limit = min(event.max_entries, MAX_PLACES)
    if (session.scalar(others) or 0) >= limit:
        raise QuotaReached(
            f"all {limit:,} places of this event are taken: ask the organizer, who can allow up to {MAX_PLACES:,}",
            limit=limit,
        )


def _check_name(session: Session, owner: str, name: str) -> None:
    """Refuse a verse that would silently replace the one that another person entered at the same computer."""
    names = session.scalars(select(Entry.name).where(Entry.owner_id == owner, Entry.state.in_(LIVE))).all()
    if names and name not in names:
        raise OtherName(names[0])


def _is_open(event: Event, now: float) -> bool:
    return state_at(event, now) == "open"


def _check_open(session: Session, event: Event, owner: str, now: float) -> None:
    """Refuse an owner who may not enter a verse now: once submissions are closed, only an undecided one is replaced."""
    if event.state == "draft":
        raise SubmissionsNotOpen
    if _is_open(event, now):
        return
    if allows(event.state, Action.SEND_CLAIM) and not is_grace_over(event, now) and _was_too_close(session, owner):
        return
    raise SubmissionsClosed(event.closes_at if event.state == "open" else event.closed_at)


def _was_too_close(session: Session, owner: str) -> bool:
    """Whether the owner's latest verse was refused for a decision too close to call, and none is in."""
    latest = _latest(session, owner)
    if latest is None or (latest.state, latest.code) != ("refused", TOO_CLOSE):
        return False
    return not session.scalar(_count(Entry.owner_id == owner, Entry.state.in_(LIVE)))


def _latest(session: Session, owner: str) -> Entry | None:
    """Return the owner's latest claim that was not withdrawn."""
    query = select(Entry).where(Entry.owner_id == owner, Entry.state != "withdrawn")
    return session.scalars(query.order_by(Entry.claimed_at.desc(), Entry.id).limit(1)).first()


def _check_same_model(replaced: Entry | None, claim: Claim) -> None:
    """Refuse another model than that of the undecided verse, which the claim is to replace after the closing.

    The owner had time for another recipe only: everybody else's training had to end at the closing.
    """
    facts = replaced.facts if replaced else {}
    parts = {
        "weights": (facts.get("tensors_sha256"), claim.tensors_sha256),
        "configuration": (facts.get("config"), claim.config.to_dict()),
        "tokenizer": (facts.get("tokenizer_sha256"), tokenizer_digest(claim)),
    }
    if others := [name for name, (before, now) in parts.items() if before != now]:
        raise OtherModel(" and ".join(others))


def tokenizer_digest(claim: Claim) -> str:
    """Compute the SHA-256 of a claim's tokenizer as canonical JSON."""
    return hashlib.sha256(strictjson.dump(claim.vocabulary.to_dict())).hexdigest()


def _enter(
    session: Session,
    event: Event,
    entry: Entry | None,
    owner: str,
    digest: str,
    name: str,
    claim: Claim,
    cost: Cost,
    kept: str | None,
    now: float,
) -> Entry:
    """Make the row of an entry, or use the row of an earlier entry with the same claim, whose bundle may be kept."""
    if session.get(Owner, owner) is None:
        session.add(Owner(id=owner, created_at=now))
        session.flush()
    _count_change(session, event, owner)
    if entry is None:
        entry = Entry(
            id=compute_entry_id(owner, digest),
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
    entry.name, entry.claimed_at, entry.heard_at = name, now, now
    entry.cost, entry.memory = cost.seconds, cost.memory
    entry.code = entry.reason = entry.verdict = entry.turn_at = None
    entry.state, entry.received, entry.bundle = "receiving", entry.header_bytes, kept
    session.flush()
    append(session, "claim-taken", {"entry": entry.id, **digests_of(entry, event.salt)}, now=now)
    if kept is not None:
        entry.received = entry.size
        enqueue(session, entry, now=now)
    return entry


def digests_of(entry: Entry, secret: str) -> dict[str, str | None]:
    """Compute the digests of an entry that the log has: of all that a claim says, of its author, and of its bundle.

    Args:
        entry: its row.
        secret: the event's.
    """
    salt = log_salt(secret)
    sizes = (entry.size, entry.header_bytes, entry.tensors_sha256)
    return {
        "claim": salted(salt, "claim", entry.id, entry.claim_digest),
        "name": name_digest(entry_key(secret, entry.id), entry.name),
        "verse": verse_digest(salt, entry.id, entry.text, entry.prompt),
        "contents": salted(salt, "contents", entry.id, *sizes, entry.facts),
        "bundle": bundle_digest(salt, entry.id, entry.bundle),
    }


def _count_change(session: Session, event: Event, owner_id: str) -> None:
    """Count a claim, a new name or a withdrawal; refuse it when the owner has made too many of them."""
    owner, limit = session.get_one(Owner, owner_id), CHANGES_PER_CLAIM * event.max_claims
    if owner.changes >= limit:
        raise QuotaReached(
            f"you have changed your entries {limit:,} times, and no more is taken from one person: ask the organizer",
            limit=limit,
        )
    owner.changes += 1


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
        "tokenizer_sha256": tokenizer_digest(claim),
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
    place = queue_places(session).get(entry.id) if entry.state == "waiting" else None
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
