"""The facts of an event that must follow from its log, with digests in place of what the log does not say.

Names of fields are those of the tables, `store.schema`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from arena.rules.tally import Tally

RoundKey = tuple[str, int, int]  # match id, poll, poll round
AttemptKey = tuple[str, int]  # entry id, attempt


@dataclass
class EventFacts:
    """The event."""

    name: str = ""
    state: str = ""
    rules: dict[str, Any] = field(default_factory=dict)
    created_at: float = 0.0
    closes_at: float | None = None
    closed_at: float | None = None
    grace_ends_at: float | None = None
    drawn_at: float | None = None
    draw_word: str = ""
    draw_salt_digest: str = ""  # of the salt that was fixed when submissions opened
    draw_digest: str = ""
    epoch: int = 0
    admission: str = "open"
    heats: str = "none"
    seeding: str = "lot"
    salt_digest: str = ""  # commitment of the log's salt
    nonce_digest: str = ""  # commitment of the nonce


@dataclass
class EntryFacts:
    """An entry."""

    id: str
    claim: str  # digests, as the log has them
    name: str
    verse: str
    contents: str  # of sizes, recipe and so on
    bundle: str | None
    claimed_at: float
    state: str = "receiving"
    code: str | None = None
    reason: str | None = None  # digest
    attempt: int = 0
    verdict: str | None = None
    seed: int | None = None
    heat_place: int | None = None
    masked: bool = False
    name_set: bool = False
    held: bool = False
    coauthors: str | None = None  # digest of their ids


@dataclass
class TicketFacts:
    """A card."""

    number: int
    batch: int
    state: str
    id: str  # digests
    owner_id: str
    votes_from: float | None = None


@dataclass
class AttemptFacts:
    """One attempt at checking one entry."""

    bundle: str | None  # digest of the file that was checked
    started_at: float
    ended_at: float | None = None
    verdict: str | None = None
    report: str | None = None  # digest


@dataclass
class MatchFacts:
    """A match: what `rules.play.MatchRow` has, and its place in the bracket."""

    id: str
    position: int
    round: int
    slot: int
    number: int
    kind: str
    state: str = "pending"
    upper_id: str | None = None
    lower_id: str | None = None
    winner_id: str | None = None
    decided_by: str | None = None
    poll: int = 0
    poll_round: int = 0
    opened_at: float | None = None
    votes_from: float | None = None
    closes_at: float | None = None
    paused_at: float | None = None
    closed_at: float | None = None
    decided_poll: int | None = None
    decided_upper_id: str | None = None
    decided_lower_id: str | None = None
    decided_winner_id: str | None = None
    decision: str | None = None
    tallies: list[list[int]] | None = None


@dataclass(frozen=True)
class CountedRound:
    """A round whose votes were counted."""

    tally: Tally
    digest: str  # of its ballots


@dataclass(frozen=True)
class CountedJudgements:
    """The judgements of the heats, as they were counted."""

    count: int
    digest: str


@dataclass
class Facts:
    """Everything that follows from the log."""

    event: EventFacts = field(default_factory=EventFacts)
    entries: dict[str, EntryFacts] = field(default_factory=dict)
    attempts: dict[AttemptKey, AttemptFacts] = field(default_factory=dict)
    matches: dict[str, MatchFacts] = field(default_factory=dict)
    tickets: dict[str, TicketFacts] = field(default_factory=dict)  # by number
    voters: dict[int, str] = field(default_factory=dict)  # digest of the voters of each batch of cards
    judged: CountedJudgements | None = None  # in the heats
    counted: dict[RoundKey, CountedRound] = field(default_factory=dict)
    opened: set[RoundKey] = field(default_factory=set)  # rounds in which people could vote
    receipt_key: str | None = None  # public key that signs receipts
    salt: str | None = None  # of the log's digests, once published
    nonce: str | None = None  # of the trainings, once submissions were open

    def seeds(self) -> list[str]:
        """Return the ids of the entries in the draw, seed 1 first."""
        placed = [entry for entry in self.entries.values() if entry.seed is not None]
        return [entry.id for entry in sorted(placed, key=lambda entry: entry.seed or 0)]

    def disqualified(self) -> list[str]:
        """Return the ids of the disqualified entries in the draw."""
        return [entry for entry in self.seeds() if self.entries[entry].state == "disqualified"]


Judgements = Sequence[tuple[str, str, str, str]]  # voter id, both entries and choice of each
Ballots = Mapping[RoundKey, Sequence[tuple[str, str, int]]]  # voter id, choice and minute of each vote of a round
