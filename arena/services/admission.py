"""Admission: who may enter a verse now, and which verse: times, limits, quotas and places."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from arena.errors import (
    LittleSpace,
    OtherModel,
    OtherName,
    OverLimits,
    QuotaReached,
    SubmissionsClosed,
    SubmissionsNotOpen,
)
from arena.phrases import counted, phrase
from arena.rules.bracket import MAX_PLACES
from arena.rules.lifecycle import GIVEN_UP, LIVE, UNDECIDED, Action, allows, is_grace_over, state_at
from arena.store.schema import Entry, Event, Owner
from arena.store.spool import Spool
from arena.verification.cost import MIB, Cost
from trainer.verse import strictjson
from trainer.verse.claim import Claim

CHANGES_PER_CLAIM = 5  # of one owner, for each claim that the event allows: claims, new names, withdrawals
TOO_CLOSE = "too-close"  # code of an UNDECIDED verdict, which is nobody's fault


def admit(
    session: Session,
    spool: Spool,
    event: Event,
    owner: str,
    claim: Claim,
    cost: Cost,
    entry: Entry | None,
    now: float,
) -> None:
    """Check that the event's rules allow a claim now.

    Args:
        session: a writing transaction.
        spool: where uploads are kept until they are complete.
        event: the event.
        owner: the owner's id.
        claim: what the bundle's header says.
        cost: the estimate of its check.
        entry: the owner's earlier entry with the same claim.
        now: seconds since the epoch.

    Raises:
        OverLimits: The verse is longer than the event allows, or empty, or its check costs too much.
        SubmissionsNotOpen: Submissions are not open yet.
        SubmissionsClosed: Submissions are closed.
        OtherModel: Submissions are closed, and it is not the model of the undecided verse that it would replace.
        QuotaReached: The owner has too many entries, or all places are taken.
        LittleSpace: The disk has no room that is not promised to others.
    """
    check_owner(session, event, owner, entry, now)
    if not _is_open(event, now):
        _check_same_model(_latest(session, owner), claim)
    lines = sum(1 for line in claim.text.split("\n") if line.strip(" "))
    if not 1 <= lines <= event.lines:
        raise OverLimits(
            phrase(
                "the verse has %(lines)s lines, and this event wants at most %(limit)s: choose another verse",
                lines=lines,
                limit=event.lines,
            )
            if lines
            else phrase("the verse has 0 lines, and this event wants at least one: choose another verse"),
            lines=lines,
            max_lines=event.lines,
        )
    if len(claim.text) > event.characters:
        raise OverLimits(
            phrase(
                "the verse has %(characters)s characters and this event wants at most %(limit)s: ask for fewer lines "
                "or tokens",
                characters=len(claim.text),
                limit=event.characters,
            ),
            characters=len(claim.text),
            max_characters=event.characters,
        )
    if len(claim.prompt) > event.prompt_characters:
        raise OverLimits(
            phrase(
                "the prompt has %(characters)s characters and this event wants at most %(limit)s: give a shorter "
                "--prompt",
                characters=len(claim.prompt),
                limit=event.prompt_characters,
            ),
            prompt_characters=len(claim.prompt),
            max_prompt_characters=event.prompt_characters,
        )
    if cost.seconds > event.check_seconds:
        raise OverLimits(
            phrase(
                "the check of this verse takes about %(seconds)s seconds and this event allows %(limit)s: write it "
                "with a smaller model, or a shorter prompt and fewer tokens",
                seconds=round(cost.seconds),
                limit=round(event.check_seconds),
            ),
            seconds=cost.seconds,
            max_seconds=event.check_seconds,
        )
    if cost.memory > event.check_memory:
        raise OverLimits(
            phrase(
                "the check of this verse takes %(memory)s MiB of memory and this event allows %(limit)s: write it "
                "with a smaller model, or a shorter prompt and fewer tokens",
                memory=cost.memory // MIB,
                limit=event.check_memory // MIB,
            ),
            memory=cost.memory,
            max_memory=event.check_memory,
        )
    promised = select(func.coalesce(func.sum(Entry.size - Entry.received), 0)).where(Entry.state == "receiving")
    free = spool.free_bytes() - session.scalars(promised).one()
    if free < claim.size:
        raise LittleSpace(free, claim.size)


def check_owner(session: Session, event: Event, owner: str, entry: Entry | None, now: float) -> None:
    """Check that an owner may enter a verse now, whatever the verse.

    Args:
        session: any transaction.
        event: its event.
        owner: the owner's id.
        entry: the owner's earlier entry with the same claim.
        now: seconds since the epoch.

    Raises:
        SubmissionsNotOpen: Submissions are not open yet.
        SubmissionsClosed: Submissions are closed.
        QuotaReached: The owner has too many entries, or all places are taken.
    """
    check_open(session, event, owner, now)
    by_owner = Entry.owner_id == owner
    undecided = session.scalar(_count(by_owner, Entry.state.in_(UNDECIDED))) or 0
    if undecided >= event.max_open:
        raise QuotaReached(
            counted(
                "%(num)s of your verses is not checked yet: wait, or withdraw one",
                "%(num)s of your verses are not checked yet: wait, or withdraw one",
                undecided,
            ),
            limit=event.max_open,
        )
    if entry is None and (session.scalar(_count(by_owner, Entry.state.not_in(GIVEN_UP))) or 0) >= event.max_claims:
        raise QuotaReached(
            counted(
                "you have entered %(num)s verse, and no more are taken from one person",
                "you have entered %(num)s verses, and no more are taken from one person",
                event.max_claims,
            ),
            limit=event.max_claims,
        )
    check_place(session, event, owner)


def check_open(session: Session, event: Event, owner: str, now: float) -> None:
    """Check that submissions are open. Once they are closed, an owner may only replace an undecided verse.

    Args:
        session: any transaction.
        event: its event.
        owner: the owner's id.
        now: seconds since the epoch.

    Raises:
        SubmissionsNotOpen: Submissions are not open yet.
        SubmissionsClosed: Submissions are closed.
    """
    if event.state == "draft":
        raise SubmissionsNotOpen
    if _is_open(event, now):
        return
    if allows(event.state, Action.SEND_CLAIM) and not is_grace_over(event, now) and _was_too_close(session, owner):
        return
    raise SubmissionsClosed(event.closes_at if event.state == "open" else event.closed_at)


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
            phrase(
                "all %(limit)s places of this event are taken: ask the organizer, who can allow up to %(most)s",
                limit=limit,
                most=MAX_PLACES,
            ),
            limit=limit,
        )


def check_name(session: Session, owner: str, name: str) -> None:
    """Check that a verse does not silently replace the one that another person entered at the same computer.

    Args:
        session: any transaction.
        owner: the owner's id.
        name: the author's, as given now.

    Raises:
        OtherName: The owner's verses have another name.
    """
    names = session.scalars(select(Entry.name).where(Entry.owner_id == owner, Entry.state.in_(LIVE))).all()
    if names and name not in names:
        raise OtherName(names[0])


def count_change(session: Session, event: Event, owner_id: str) -> None:
    """Count a claim, a new name or a withdrawal.

    Args:
        session: a writing transaction.
        event: its event.
        owner_id: the owner's.

    Raises:
        QuotaReached: The owner has made too many of them.
    """
    owner, limit = session.get_one(Owner, owner_id), CHANGES_PER_CLAIM * event.max_claims
    if owner.changes >= limit:
        raise QuotaReached(
            phrase(
                "you have changed your entries %(limit)s times, and no more is taken from one person: ask the "
                "organizer",
                limit=limit,
            ),
            limit=limit,
        )
    owner.changes += 1


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


def _is_open(event: Event, now: float) -> bool:
    return state_at(event, now) == "open"


def _count(*conditions: Any) -> Any:
    return select(func.count()).select_from(Entry).where(*conditions)
