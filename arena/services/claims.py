"""Claims: the header of a bundle is taken as an entry, and its owner gets a signed receipt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from arena.errors import BadClaim, OverLimits
from arena.phrases import phrase
from arena.rules.chain import compute_entry_id
from arena.rules.lifecycle import GIVEN_UP, Action, allows
from arena.services.admission import admit, check_name, check_open, check_owner, count_change, tokenizer_digest
from arena.services.coauthors import add_coauthors, find_coauthors
from arena.services.digests import digest_of_name, digests_of_claim
from arena.services.events import clean_name, the_event
from arena.services.identity import identify
from arena.services.log import append
from arena.services.receipts import sign
from arena.services.schemas import Receipt
from arena.services.verification import enqueue
from arena.store.bundles import BundleStore
from arena.store.schema import Entry, Event, Owner
from arena.store.spool import Spool
from arena.store.unit_of_work import Database
from arena.verification.cost import Cost, estimate_cost
from trainer.verse import strictjson
from trainer.verse.characters import appearance_fault
from trainer.verse.claim import LENGTH_BYTES, Claim, header_length, parse_claim
from trainer.verse.errors import BundleError

MAX_AUTHOR = 40  # characters of a display name: one line on a phone
MAX_PROVENANCE = 32 * 2**10  # bytes kept in the database; the bundle has all of it


def take_claim(
    db: Database,
    bundles: BundleStore,
    spool: Spool,
    header: bytes,
    secret: str,
    name: str,
    *,
    replace: bool = False,
    authors: Sequence[str] = (),
    by_organizer: bool = False,
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
        authors: the secrets of further authors, who do not vote on it either.
        by_organizer: whether the organizer enters it for somebody, who needs no ticket.
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
        TicketNeeded, TicketUnknown, TicketVoid, TicketSpare: The owner, or a further author, has no valid ticket.
        SubmissionsNotOpen: Submissions are not open yet.
        SubmissionsClosed: Submissions are closed.
        OtherName: The owner has entered a verse under another name, and may be another person at the same computer.
        OtherModel: Submissions are closed, and it is not the model of the undecided verse that it would replace.
        QuotaReached: The owner has too many entries or has changed them too often, or all places are taken.
        LittleSpace: The disk has no room that is not promised to others.
        WrongState: It names further authors after the draw.
    """
    name = clean_name(name, MAX_AUTHOR, phrase("an author's name"))
    digest = hashlib.sha256(header).hexdigest()
    with db.reading() as session:  # what can be refused without reading the header comes first
        identity = identify(session, secret)
        owner = identity.owner_id
        coauthors = find_coauthors(session, identity, authors)
        entry_id = compute_entry_id(owner, digest)
        entry = session.get(Entry, entry_id)
        is_new = entry is None or entry.state in GIVEN_UP
        if is_new:
            if not by_organizer:
                identity.require_entry()
            check_owner(session, the_event(session), owner, entry, now)
            if not replace:
                check_name(session, owner, name)
    examined = _examine(header) if is_new else None
    kept = entry.bundle if entry and entry.bundle and bundles.is_whole(entry.bundle) else None
    with spool.lock(entry_id):
        with db.writing() as session:
            event = the_event(session)
            entry = session.get(Entry, entry_id)
            repeated = entry is not None
            if entry is None or entry.state in GIVEN_UP:
                claim, cost = examined or _examine(header)  # it was given up meanwhile
                admit(session, spool, event, owner, claim, cost, entry, now)
                entry = _enter(session, event, entry, owner, digest, name, claim, cost, kept, now)
            elif entry.name != name and not entry.name_set and allows(event.state, Action.RENAME_ENTRY):
                count_change(session, event, owner)
                entry.name = name
                event.edits += 1
                data = {"entry": entry_id, "name": digest_of_name(session, entry)}
                append(session, "entry-renamed", data, now=now)
            if entry.state == "receiving" and repeated:
                entry.heard_at = now
                if spool.size(entry_id) < entry.received:
                    entry.received = entry.header_bytes  # the disk lost some: start again
            add_coauthors(session, entry_id, coauthors, now=now)
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
        TicketNeeded, TicketUnknown, TicketVoid, TicketSpare: The event takes tickets, and this is no valid one.
        SubmissionsNotOpen: Submissions are not open yet.
        SubmissionsClosed: Submissions are closed.
    """
    with db.reading() as session:
        identity = identify(session, secret)
        event = the_event(session)
        if session.get(Owner, identity.owner_id) is None:
            identity.require_entry()
            check_open(session, event, identity.owner_id, now)


def make_receipt(entry: Entry, repeated: bool, key: str) -> Receipt:
    """Sign what an entry's row says about its claim.

    Args:
        entry: the entry.
        repeated: whether the claim was taken before.
        key: the private key that signs the receipt.
    """
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


def _examine(header: bytes) -> tuple[Claim, Cost]:
    """Read a claim, and estimate what its check costs. A long prompt takes time: not within a transaction."""
    claim = _parse(header)
    if fault := appearance_fault(claim.text, claim.prompt):
        raise OverLimits(
            phrase("the verse cannot be shown to an audience: %(fault)s; choose another verse", fault=fault)
        )
    return claim, estimate_cost(claim)


def _parse(header: bytes) -> Claim:
    try:
        total = header_length(header[:LENGTH_BYTES])
        if len(header) > total:
            raise BundleError("trailing-bytes", f"the claim has {len(header):,} bytes, its header {total:,}")
        return parse_claim(header)
    except BundleError as error:
        raise BadClaim(error.code, str(error)) from None


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
    count_change(session, event, owner)
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
    if not entry.name_set:
        entry.name = name
    entry.claimed_at = entry.heard_at = now
    entry.cost, entry.memory = cost.seconds, cost.memory
    entry.code = entry.reason = entry.verdict = entry.turn_at = None
    entry.state, entry.received, entry.bundle = "receiving", entry.header_bytes, kept
    session.flush()
    append(session, "claim-taken", {"entry": entry.id, **digests_of_claim(entry, event.salt)}, now=now)
    if kept is not None:
        entry.received = entry.size
        enqueue(session, entry, now=now)
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
        "tokenizer_sha256": tokenizer_digest(claim),
    }
