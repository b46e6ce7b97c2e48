"""The tables. One database holds one event. Times are seconds since the epoch, UTC; ids are lower-case hexadecimal.

Identities are stored as digests only (`services.identity`); display names stand in `entries.name` and nowhere else.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from arena.rules.lifecycle import ENTRY_STATES, EVENT_STATES, MATCH_STATES, TICKET_STATES

THE_EVENT = 1  # the one row of `events`
_WHERE_DEALT: Any = {f"{dialect}_where": text("choice IS NULL") for dialect in ("sqlite", "postgresql")}


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in values)})", name=column)


class Base(DeclarativeBase):
    """The base of all tables; it names their constraints."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Event(Base):
    """The event, and the rules of its entries."""

    __tablename__ = "events"
    __table_args__ = (_one_of("state", EVENT_STATES), CheckConstraint(f"id = {THE_EVENT}", name="one"))

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    draw_word: Mapped[str] = mapped_column(Text, default="")  # given by the room once submissions are closed
    draw_salt: Mapped[str] = mapped_column(Text, default="")  # secret until the draw; the log has its digest
    draw_digest: Mapped[str] = mapped_column(Text, default="")  # decides the draw and ties
    salt: Mapped[str] = mapped_column(String(64))  # of digests in the log; secret until published
    created_at: Mapped[float]
    closes_at: Mapped[float | None]  # when submissions close automatically
    closed_at: Mapped[float | None]  # when they did
    grace_ends_at: Mapped[float | None]  # when tensors are no longer accepted
    drawn_at: Mapped[float | None]
    admission: Mapped[str] = mapped_column(String(8), default="open", server_default="open")  # tickets, pin or open
    address: Mapped[str] = mapped_column(Text, default="", server_default="")  # the beginning of links; "": as served
    edits: Mapped[int] = mapped_column(default=0, server_default="0")  # changes of names that pages show
    epoch: Mapped[int] = mapped_column(default=0)  # how often the event was restored from a backup
    lines: Mapped[int]  # non-empty lines of a verse, at most
    characters: Mapped[int]  # of a verse, at most
    grace_seconds: Mapped[float]
    max_open: Mapped[int]  # entries of one owner without a verdict
    max_claims: Mapped[int]  # entries of one owner, all together
    max_entries: Mapped[int]  # owners with a verse in the event
    check_seconds: Mapped[float]  # of one processor core, for the check of one entry
    check_memory: Mapped[int] = mapped_column(BigInteger)  # bytes for the check of one entry
    prompt_characters: Mapped[int] = mapped_column(default=60)  # of a prompt, at most
    reading_seconds: Mapped[float] = mapped_column(default=0.0)  # in which a match is shown before its vote begins
    match_seconds: Mapped[float]  # of a first vote, unless a match is opened for another time
    revote_seconds: Mapped[float]  # of a vote after a tie
    heats: Mapped[str] = mapped_column(String(8), default="none", server_default="none")  # none, open, closed
    practice_at: Mapped[float | None]  # since when the practice vote is open
    practice_closes_at: Mapped[float | None]
    seeding: Mapped[str] = mapped_column(String(8), default="lot", server_default="lot")  # lot, heats, hand
    race: Mapped[bool] = mapped_column(default=True, server_default=true())  # the trainings are shown


class Owner(Base):
    """A person who entered a verse."""

    __tablename__ = "owners"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)  # SHA-256("verse-entry-1" | t)
    created_at: Mapped[float]
    changes: Mapped[int] = mapped_column(default=0, server_default="0")  # of entries, each a record of the log


class Entry(Base):
    """An entry: its claim, its upload, its verification and its place in the draw."""

    __tablename__ = "entries"
    __table_args__ = (
        UniqueConstraint("owner_id", "claim_digest"),
        Index(None, "state", "turn_at"),
        Index(None, "claim_digest"),
        Index(None, "bundle"),
        _one_of("state", ENTRY_STATES),
        CheckConstraint("received <= size", name="received"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)  # from owner and claim: the same on every machine
    owner_id: Mapped[str] = mapped_column(ForeignKey("owners.id"))
    claim_digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the header
    name: Mapped[str] = mapped_column(Text)  # display name of the author; untrusted
    masked: Mapped[bool] = mapped_column(default=False, server_default=false())  # pages do not show the name
    name_set: Mapped[bool] = mapped_column(default=False, server_default=false())  # by the organizer, and stays
    held: Mapped[bool] = mapped_column(default=False, server_default=false())  # out of the draw until it is released
    state: Mapped[str] = mapped_column(String(16))
    code: Mapped[str | None] = mapped_column(String(40))  # why it is in this state, for programs
    reason: Mapped[str | None] = mapped_column(Text)  # and for people: one sentence; may hold untrusted text
    claimed_at: Mapped[float]  # the claim was whole
    turn_at: Mapped[float | None]  # place in the queue: see `services.verification`
    cost: Mapped[float]  # seconds of one processor core, estimated, for the check
    memory: Mapped[int] = mapped_column(BigInteger)  # bytes that the check may use
    size: Mapped[int]  # bytes of the whole bundle
    header_bytes: Mapped[int]
    received: Mapped[int]  # bytes, header included
    heard_at: Mapped[float]  # the claim, or the latest piece, arrived
    tensors_sha256: Mapped[str] = mapped_column(String(64))
    bundle: Mapped[str | None] = mapped_column(String(64))  # SHA-256 of the whole file, once it is there
    text: Mapped[str] = mapped_column(Text)  # the verse; untrusted
    prompt: Mapped[str] = mapped_column(Text)
    facts: Mapped[dict[str, Any]] = mapped_column(JSON, deferred=True)  # recipe, config and so on, as claimed
    attempt: Mapped[int] = mapped_column(default=0)  # number of the latest verification
    worker: Mapped[str | None] = mapped_column(Text)
    lease_until: Mapped[float | None]
    not_before: Mapped[float] = mapped_column(default=0.0)  # when a failed check may be tried again
    failures: Mapped[int] = mapped_column(default=0)  # failed checks in a row
    verdict: Mapped[str | None] = mapped_column(String(12))  # PASS, FAIL, UNDECIDED, MALFORMED
    advice: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # what the checks found that no verdict follows from
    seed: Mapped[int | None]  # number in the draw, from 1
    dealt: Mapped[int] = mapped_column(default=0, server_default="0")  # how often it was dealt in the heats
    heat_place: Mapped[int | None]  # in the heats, from 1; equal verses share one
    heat_strength: Mapped[float | None]  # by `rules.ranking`, and the ends of its interval
    heat_low: Mapped[float | None]
    heat_high: Mapped[float | None]
    heat_judgements: Mapped[int | None]  # of pairs with it


TAKING_PART = (Entry.state == "verified") & Entry.held.is_(False)  # what is drawn, and judged in the heats


class CoAuthor(Base):
    """Another author of an entry, who does not vote on it either."""

    __tablename__ = "coauthors"

    entry_id: Mapped[str] = mapped_column(ForeignKey("entries.id"), primary_key=True)
    owner_id: Mapped[str] = mapped_column(String(64), primary_key=True)  # SHA-256("verse-entry-1" | t)


class Ticket(Base):
    """A card of the organizer's. Its code, and the voter's id that follows from the code, are not kept here."""

    __tablename__ = "tickets"
    __table_args__ = (_one_of("state", TICKET_STATES),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)  # SHA-256("verse-ticket-1" | t)
    number: Mapped[int] = mapped_column(unique=True)  # printed on the card, from 1
    batch: Mapped[int]  # cards that were made together, from 1
    state: Mapped[str] = mapped_column(String(8))  # valid; spare: not handed out yet; void
    owner_id: Mapped[str] = mapped_column(String(64))  # of its entries; a card that replaces another has that one's
    votes_from: Mapped[float | None]  # only in matches opened later: it replaces a card that may have voted


class IssuedVoter(Base):
    """A voter's id that follows from the code of some ticket; nothing here says of which."""

    __tablename__ = "issued_voters"

    voter_id: Mapped[str] = mapped_column(String(64), primary_key=True)  # SHA-256("verse-voter-1" | t)
    batch: Mapped[int]


class PinVoter(Base):
    """A voter who typed the room's PIN while it was shown."""

    __tablename__ = "pin_voters"

    voter_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    admitted_at: Mapped[float]


class Verification(Base):
    """One attempt at checking one entry."""

    __tablename__ = "verifications"
    __table_args__ = (UniqueConstraint("entry_id", "attempt"), Index(None, "bundle"))

    id: Mapped[int] = mapped_column(primary_key=True)
    entry_id: Mapped[str] = mapped_column(ForeignKey("entries.id"))
    attempt: Mapped[int]
    worker: Mapped[str] = mapped_column(Text)
    bundle: Mapped[str | None] = mapped_column(String(64))  # SHA-256 of the file that was checked
    started_at: Mapped[float]
    ended_at: Mapped[float | None]
    verdict: Mapped[str | None] = mapped_column(String(12))  # as reported; ERROR: nothing about the verse
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class Match(Base):
    """A match between two entries, and the voters' decision.

    A decision belongs to its two entries (`decided_upper_id`, `decided_lower_id`). When an earlier match is undone the
    decision is kept; it counts again if the same two entries meet again.
    """

    __tablename__ = "matches"
    __table_args__ = (_one_of("state", MATCH_STATES),)

    id: Mapped[str] = mapped_column(String(12), primary_key=True)  # r1m1, ..., third
    position: Mapped[int] = mapped_column(unique=True)  # in the order of play
    round: Mapped[int]  # from 1
    slot: Mapped[int]  # from 1, top down
    kind: Mapped[str] = mapped_column(String(12))  # match, third, final
    state: Mapped[str] = mapped_column(String(8))
    upper_id: Mapped[str | None] = mapped_column(ForeignKey("entries.id"))
    lower_id: Mapped[str | None] = mapped_column(ForeignKey("entries.id"))
    winner_id: Mapped[str | None] = mapped_column(ForeignKey("entries.id"))  # once closed
    decided_by: Mapped[str | None] = mapped_column(String(8))  # votes, revote, draw, walkover, bye
    poll: Mapped[int] = mapped_column(default=0)  # increases when the match is opened again; old votes stay
    poll_round: Mapped[int] = mapped_column(default=0)  # 0: first vote, 1: re-vote
    opened_at: Mapped[float | None]
    number: Mapped[int] = mapped_column(default=0, server_default="0")  # among the played ones of the round; 0: a bye
    votes_from: Mapped[float | None]  # when the vote begins, once people have read
    closes_at: Mapped[float | None]
    paused_at: Mapped[float | None]  # since when its clock stands
    closed_at: Mapped[float | None]
    decided_poll: Mapped[int | None]  # the poll whose votes decided
    decided_upper_id: Mapped[str | None] = mapped_column(ForeignKey("entries.id"))
    decided_lower_id: Mapped[str | None] = mapped_column(ForeignKey("entries.id"))
    decided_winner_id: Mapped[str | None] = mapped_column(ForeignKey("entries.id"))
    decision: Mapped[str | None] = mapped_column(String(8))  # votes, revote, draw
    tallies: Mapped[list[list[int]] | None] = mapped_column(JSON)  # [upper, lower] of each poll_round of the decision


class Vote(Base):
    """A vote: one for each voter, match, poll and poll round, which the database ensures."""

    __tablename__ = "votes"
    __table_args__ = (
        UniqueConstraint("match_id", "poll", "poll_round", "voter_id"),
        _one_of("choice", ("upper", "lower")),
        _one_of("shown_left", ("upper", "lower")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    match_id: Mapped[str] = mapped_column(ForeignKey("matches.id"))
    poll: Mapped[int]
    poll_round: Mapped[int]
    voter_id: Mapped[str] = mapped_column(String(64))  # SHA-256("verse-voter-1" | t)
    choice: Mapped[str] = mapped_column(String(5))  # upper or lower
    shown_left: Mapped[str] = mapped_column(String(5))  # the side this voter saw on the left
    cast_at: Mapped[float]  # of the latest change
    changes: Mapped[int] = mapped_column(default=0, server_default="0")  # after the first choice


class Judgement(Base):
    """A pair of verses dealt to a voter in the heats, and the voter's choice."""

    __tablename__ = "judgements"
    __table_args__ = (
        UniqueConstraint("voter_id", "upper_id", "lower_id"),
        Index("ix_judgements_dealt", "voter_id", unique=True, **_WHERE_DEALT),  # one pair at a time
        Index(None, "upper_id"),
        Index(None, "lower_id"),
        _one_of("choice", ("upper", "lower")),
        CheckConstraint("upper_id < lower_id", name="order"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    voter_id: Mapped[str] = mapped_column(String(64))  # SHA-256("verse-voter-1" | t)
    upper_id: Mapped[str] = mapped_column(ForeignKey("entries.id"))  # the lesser of the two ids
    lower_id: Mapped[str] = mapped_column(ForeignKey("entries.id"))
    choice: Mapped[str | None] = mapped_column(String(5))  # upper or lower, once judged
    dealt_at: Mapped[float]
    judged_at: Mapped[float | None]


class PracticeVote(Base):
    """A vote for practice; all are removed when the practice ends."""

    __tablename__ = "practice_votes"
    __table_args__ = (_one_of("choice", ("upper", "lower")),)

    voter_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    choice: Mapped[str] = mapped_column(String(5))  # upper or lower
    changes: Mapped[int] = mapped_column(default=0, server_default="0")  # after the first choice


class RaceRun(Base):
    """The latest training of a participant, as its heartbeats tell it; nothing here leads to an entry."""

    __tablename__ = "race_runs"

    racer_id: Mapped[str] = mapped_column(String(64), primary_key=True)  # SHA-256("verse-race-1" | t)
    run: Mapped[str] = mapped_column(String(32))  # id that the trainer drew
    nickname: Mapped[str] = mapped_column(String(40), unique=True)  # drawn for this run
    begun_at: Mapped[float]  # the first heartbeat arrived
    heard_at: Mapped[float]  # the latest request arrived
    anchor_at: Mapped[float]  # from where the time of the run is measured: see `rules.race`
    anchor_minutes: Mapped[float]
    step: Mapped[int]  # updates done
    steps: Mapped[int]  # updates planned
    minutes: Mapped[float]  # of training
    points: Mapped[int]  # number of the rows below
    sample: Mapped[str] = mapped_column(Text)  # the latest lines, cleaned; ""; untrusted
    hidden: Mapped[bool] = mapped_column(default=False, server_default=false())  # by the organizer


class RacePoint(Base):
    """A point of the curve of a training."""

    __tablename__ = "race_points"

    racer_id: Mapped[str] = mapped_column(ForeignKey("race_runs.racer_id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    minutes: Mapped[float]
    bits: Mapped[float]  # validation loss in bits per character
    seen_live: Mapped[bool]  # it arrived when the run had just come there
    checkpoint: Mapped[str | None] = mapped_column(String(64))  # SHA-256 of the newest one then, as the trainer says


class LogRecord(Base):
    """A record of the append-only log; hashes chain the records (`services.log`)."""

    __tablename__ = "log"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # from 1, without gaps
    at: Mapped[float]
    kind: Mapped[str] = mapped_column(String(40))
    data: Mapped[str] = mapped_column(Text)  # canonical JSON: ids and salted digests, no names
    hash: Mapped[str] = mapped_column(String(64))  # SHA-256 of the hash before it and this record


class Version(Base):
    """One row with a number that changes with each commit; SQLite has such a number itself and leaves this at 0."""

    __tablename__ = "version"
    __table_args__ = (CheckConstraint("id = 1", name="one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger)
