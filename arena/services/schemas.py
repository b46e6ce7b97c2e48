"""Schemas of what services return: frozen data for pages, commands and tests. Text that people sent is untrusted.

Times are seconds since the epoch. What is still secret is not in these objects, so no page can show it by mistake.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from arena.errors import ArenaError
from arena.rules.heats import Cut
from trainer.verse import strictjson


def to_json(value: Any) -> bytes:
    """Return a dataclass as JSON in UTF-8; equal values give equal bytes.

    Raises:
        ValueError: A number in it is not finite.
    """
    return strictjson.dump(asdict(value))


READING_SECONDS = 15.0  # in which a room reads two verses of some lines


@dataclass(frozen=True)
class EventRules:
    """Rules that the organizer sets when the event is created."""

    lines: int = 8  # non-empty lines of a verse, at most
    characters: int = 480  # of a verse, at most
    grace_seconds: float = 900.0  # after closing, for tensors still on their way
    max_open: int = 3  # entries of one owner without a verdict
    max_claims: int = 20  # entries of one owner, all together
    max_entries: int = 256  # owners with a verse in the event: each has a place in the bracket
    check_seconds: float = 60.0  # of one processor core, that the check of a verse may take
    check_memory: int = 1_280 * 2**20  # bytes that it may use: the large preset with 400 tokens takes 1,274 MiB
    prompt_characters: int = 60  # of a verse's prompt, at most
    reading_seconds: float = 0.0  # in which a match is shown before its vote begins
    match_seconds: float = 60.0  # of a first vote
    revote_seconds: float = 30.0  # of a vote after a tie


@dataclass(frozen=True)
class EventView:
    """The event for everybody, without its salts."""

    name: str
    state: str  # draft, open, closed, drawn, champion, published
    rules: EventRules
    closes_at: float | None  # when submissions close automatically
    closed_at: float | None  # when they did
    grace_ends_at: float | None
    draw_word: str | None  # once the room has given it
    nonce: str | None  # keys the trainings of the evening; None until submissions open
    admission: str  # who may vote: tickets, pin or open
    race: bool  # the trainings are shown


@dataclass(frozen=True)
class TicketCounts:
    """The number of tickets by state."""

    valid: int
    spare: int  # not handed out yet
    void: int


# Entering


@dataclass(frozen=True)
class Receipt:
    """The signed confirmation of when a claim arrived, and the offset to continue the upload from."""

    entry: str  # id
    claim: str  # SHA-256 of the header
    received: float  # by the server's clock
    signature: str  # Ed25519 over the canonical JSON of the three above, hexadecimal
    offset: int  # bytes of the bundle received so far: its header, and more if the claim was repeated
    size: int  # bytes of the whole bundle
    state: str  # of the entry
    repeated: bool  # the claim had arrived before

    def fields(self) -> dict[str, Any]:
        """Return the fields that are signed."""
        return {"entry": self.entry, "claim": self.claim, "received": self.received}


@dataclass(frozen=True)
class EntryStatus:
    """The status of an entry, for its owner."""

    entry: str
    name: str
    state: str  # receiving, waiting, verifying, verified, refused, expired, replaced, withdrawn, disqualified
    received: int  # bytes
    size: int
    place: int | None  # in the queue while waiting: 1 is checked next
    verdict: str | None  # PASS, FAIL, UNDECIDED, MALFORMED
    code: str | None  # why it is in this state, for programs
    reason: str  # one plain sentence: what this state means and what to do
    heat_place: int | None  # in the heats, if the bracket was drawn without it because of that
    text: str  # the verse
    prompt: str
    claimed_at: float
    may_replace: bool  # the owner may enter another verse now
    may_withdraw: bool


# Verifying


@dataclass(frozen=True)
class Job:
    """One attempt at checking one entry, leased to one worker."""

    entry: str
    attempt: int
    worker: str
    bundle: str  # SHA-256 of the file: see `BundleStore.local_copy`
    size: int
    cost: float  # seconds of one processor core, estimated
    lease_until: float


# Voting


@dataclass(frozen=True)
class BallotSide:
    """One verse of a ballot."""

    label: Literal["A", "B"]  # the same on every screen
    text: str
    prompt: str


@dataclass(frozen=True)
class Ballot:
    """A match as one voter sees it."""

    match: str  # id
    poll: int  # number of the poll of this match, from 0
    title: str  # "Final"
    poll_round: int  # 0: first vote, 1: re-vote after a tie
    left: BallotSide  # in this voter's order
    right: BallotSide
    choice: Literal["left", "right"] | None  # this voter's vote so far
    mine: bool  # one of the two is the voter's own: no vote
    refusal: str | None  # why this voter may not vote, as without a ticket or a PIN where the event wants one
    opens_at: float | None  # while it is read before the vote: when the vote begins
    closes_at: float | None
    paused: bool  # the clock stands; votes count if they counted before
    open: bool  # votes count now
    is_replacement: bool = False  # the voter's ticket replaced a lost one, so that the secret alone tells no author


@dataclass(frozen=True)
class VoteReceipt:
    """The confirmation of a vote."""

    match: str
    poll_round: int
    choice: Literal["left", "right"]
    changed: bool  # an earlier vote was replaced
    cast_at: float
    closes_at: float | None


@dataclass(frozen=True)
class RoundItem:
    """One of the matches that are open at once, as one voter sees it."""

    match: str  # id
    title: str
    choice: Literal["A", "B"] | None  # this voter's vote so far
    mine: bool  # one of the two is the voter's own: no vote
    open: bool  # votes count now


@dataclass(frozen=True)
class PracticeBallot:
    """The practice vote as one voter sees it."""

    left: BallotSide
    right: BallotSide
    choice: Literal["left", "right"] | None
    closes_at: float | None


# The heats


@dataclass(frozen=True)
class PairView:
    """Two verses that a voter judges in the heats."""

    pair: int  # number
    number: int  # of this voter's judgements, this one included
    left: BallotSide
    right: BallotSide


@dataclass(frozen=True)
class HeatsPage:
    """The heats as one voter sees them."""

    open: bool
    judged: int  # by this voter
    pair: PairView | None  # None: none was dealt yet, or all are judged
    refusal: ArenaError | None  # why this voter may not judge


@dataclass(frozen=True)
class RankedView:
    """A verse in the ranking of the heats. A share is the probability of being preferred to an average verse."""

    entry: str
    place: int  # from 1; equal verses share a place
    share: float
    low: float  # the share's interval, 95 %
    high: float
    judgements: int  # of pairs with it
    text: str
    prompt: str
    name: str | None  # the author, where public


@dataclass(frozen=True)
class HeatsView:
    """The heats for the organizer."""

    state: str  # none, open, closed
    entries: int  # verified verses
    judgements: int
    voters: int  # who have judged
    least: int  # judgements of a verse
    most: int
    ranking: list[RankedView]  # as it is now, the strongest first
    cuts: list[Cut]  # for each number of places that fewer than all have


@dataclass(frozen=True)
class CountedVote:
    """A vote in a round that was counted."""

    title: str  # of the match
    poll_round: int  # 0: first vote, 1: second vote after a tie
    label: Literal["A", "B"]  # the verse
    minute: int  # since the epoch, when it was cast
    tally: list[int]  # of A and of B
    record: int  # number of the log's record that has the tally and a digest of all votes of the round
    undone: bool  # the match was undone later, so that its votes no longer count


@dataclass(frozen=True)
class VoterView:
    """The votes of one voter that were counted, the first first."""

    voter: str  # id
    own: bool  # of whoever asks
    published: bool  # the votes of others can be looked up
    votes: list[CountedVote]


@dataclass(frozen=True)
class MatchResult:
    """The result of closing a round of a match."""

    match: str
    title: str  # "Semi-final 2"
    state: str  # "closed"; "open" while the re-vote after a tie runs
    poll_round: int  # the one now open or last counted
    tallies: list[list[int]]  # [upper, lower] of each round of the poll so far
    winner: str | None  # entry id
    winner_label: str | None  # its first line
    decided_by: str | None  # votes, revote, draw, walkover, bye
    closes_at: float | None  # of the re-vote
    champion: Side | None  # if the event has one now


# The race of the trainings


@dataclass(frozen=True)
class CurvePoint:
    """A point of the curve of a training."""

    minutes: float  # of training
    bits: float  # validation loss in bits per character
    live: bool  # it arrived when the run had just come there


@dataclass(frozen=True)
class Curve:
    """A training in the race, under a nickname that says nothing about anybody."""

    nickname: str
    step: int  # updates done
    steps: int  # updates planned
    minutes: float  # of training
    points: list[CurvePoint]  # in the order of the steps; at most some 90
    sample: list[str]  # at most two lines that the model wrote; untrusted

    @property
    def best(self) -> float | None:
        """The lowest loss so far."""
        return min((point.bits for point in self.points), default=None)


@dataclass(frozen=True)
class RaceView:
    """The race for everybody, until the bracket is drawn."""

    on: bool  # it is shown
    curves: list[Curve]  # the lowest loss first


@dataclass(frozen=True)
class ListedCurve:
    """A curve for the organizer."""

    nickname: str
    hidden: bool
    step: int
    steps: int
    minutes: float
    bits: float | None  # the latest
    sample: str
    heard_at: float


@dataclass(frozen=True)
class RaceList:
    """The race for the organizer."""

    on: bool
    curves: list[ListedCurve]  # by nickname


@dataclass(frozen=True)
class HeartbeatReceipt:
    """What the race knows of a run after a request."""

    nickname: str  # of the curve; told to its owner alone
    step: int  # the latest that is known: send what came after it


# The snapshot


@dataclass(frozen=True)
class OpenMatch:
    """The match that is voted on."""

    id: str
    title: str  # "Semi-final 2"
    round: int  # of the bracket, from 1
    poll_round: int  # 0: first vote, 1: second vote after a tie
    opens_at: float | None  # seconds since the epoch, while it is read before the vote: when the vote begins
    closes_at: float | None  # seconds since the epoch
    paused: bool  # its clock stands
    votes: int  # cast in this round of the poll
    poll: int = 0  # number of the poll of this match: another one, once it was undone and opened again


@dataclass(frozen=True)
class OpenRound:
    """The matches that are open at once, while there are several."""

    title: str  # of the round, in the singular: "Quarter-final"
    matches: int
    votes: int  # cast in all of them


@dataclass(frozen=True)
class PracticeCounts:
    """The practice vote that is open."""

    closes_at: float | None  # seconds since the epoch
    votes: int


@dataclass(frozen=True)
class HeatsCounts:
    """The heats that are open."""

    judgements: int
    voters: int  # who have judged


@dataclass(frozen=True)
class RaceCounts:
    """The trainings that are shown while submissions are open."""

    runs: int
    beat: int  # grows when there is something new, at most every few seconds


@dataclass(frozen=True)
class EntryCounts:
    """Number of entries by state."""

    receiving: int
    waiting: int
    verifying: int
    verified: int
    refused: int
    expired: int
    replaced: int
    withdrawn: int
    disqualified: int


@dataclass(frozen=True)
class MatchCounts:
    """Number of matches, without byes."""

    closed: int
    total: int


@dataclass(frozen=True)
class Announced:
    """What every page says of the event: two fields of the snapshot, for pages that need no more of it."""

    event: str  # name
    address: str  # the beginning of links and QR codes; "": as the settings say


@dataclass(frozen=True)
class Snapshot:
    """The state of the event for everybody: the same for all, and nothing secret."""

    event: str  # name
    state: str  # draft, open, closed, drawn, champion, published
    phase: str  # before, entering, checking, between, voting, champion, published
    admission: str  # who may vote: tickets, pin or open
    closes_at: float | None  # seconds since the epoch, when submissions close automatically
    grace_ends_at: float | None  # seconds since the epoch, until when tensors may follow
    match: OpenMatch | None  # of several, the one with a second vote, else the first
    round: OpenRound | None
    practice: PracticeCounts | None
    heats: HeatsCounts | None  # while pairs of verses are judged before the draw
    race: RaceCounts | None  # while submissions are open, and somebody trains
    last: str | None  # id of the match decided most recently by a vote
    next: str | None  # title of the next match
    entries: EntryCounts
    matches: MatchCounts
    champion: str | None  # entry id
    address: str  # the beginning of links and QR codes; "": as the settings say
    edits: int  # changes of names that pages show
    epoch: int  # how often the event was restored from a backup: what phones were told before may be unknown now
    version: int  # number of the latest record of the log; grows with every change but votes


# The time


@dataclass(frozen=True)
class PlanPart:
    """One part of the voting, such as a round."""

    title: str
    matches: int
    seconds: float


@dataclass(frozen=True)
class PlanOption:
    """One way to hold the voting, without second votes after ties."""

    places: int  # verses in the bracket
    heats: bool  # which verses those are is found in heats
    at_once: bool  # all matches of a round are open at the same time
    matches: int
    seconds: float
    parts: list[PlanPart]


@dataclass(frozen=True)
class VotingPlan:
    """How long the voting takes in each way, and which fits."""

    entries: int
    voters: int
    options: list[PlanOption]  # all verses one match at a time first; empty with fewer than two
    proposal: PlanOption | None  # that fits into the time there is


# Backups


@dataclass(frozen=True)
class BackupReport:
    """What a backup holds."""

    event: str  # name
    record: int  # number of the log's latest record
    hash: str  # of that record
    bundles: int
    copied: int  # of the bundles: those that were not in the folder before


# Exports


@dataclass(frozen=True)
class ExportReport:
    """What an export holds."""

    path: str
    event: str  # name
    size: int  # bytes
    record: int  # number of the log's latest record
    hash: str  # of that record
    entries: int
    bundles: int


# Pages


@dataclass(frozen=True)
class Side:
    """One side of a match: what is public of its entry."""

    entry: str
    seed: int  # number in the draw, from 1
    text: str | None  # the verse, once it was on a ballot
    prompt: str  # what its model was given to continue; "" until then
    name: str | None  # the author, once its last match is closed
    mark: Literal["won", "lost", "out", ""] = ""  # out: disqualified

    @property
    def label(self) -> str:
        """A short name without the author: the first line, or the seed."""
        lines = [line for line in (self.prompt + (self.text or "")).split("\n") if line.strip()]
        return lines[0] if lines else f"Verse {self.seed}"


@dataclass(frozen=True)
class MatchView:
    """One match of the bracket; its tallies are public once it is closed."""

    id: str
    title: str  # "Semi-final 2"
    round: int
    kind: str  # match, third, final
    state: str  # pending, open, closed
    upper: Side | None
    lower: Side | None
    ready: bool  # two sides and not closed: it can be opened
    poll_round: int
    opened_at: float | None  # the latest time
    opens_at: float | None  # while it is read before the vote: when the vote begins
    closes_at: float | None
    paused: bool  # its clock stands
    closed_at: float | None
    votes: int | None  # cast in the open round of the poll
    tallies: list[list[int]] | None  # [upper, lower] of each round of the poll
    decided_by: str | None
    winner: str | None  # entry id


@dataclass(frozen=True)
class RoundView:
    """One round of the bracket."""

    number: int
    title: str
    matches: list[MatchView]


@dataclass(frozen=True)
class StageView:
    """What the stage shows."""

    event: EventView
    phase: str  # as in `snapshot`
    counts: dict[str, int]  # entries by state, zeros included
    playing: int  # entries in the bracket
    voters: int | None  # who may vote: valid tickets, or those who typed the PIN; None: everybody
    open: MatchView | None  # of several, the one with a second vote, else the first
    opened: list[MatchView]  # all that are open
    last: MatchView | None  # the match closed most recently by a vote: for the reveal
    next: MatchView | None  # the first that is ready
    rounds: list[RoundView]  # the last one has the third-place match, then the final
    champion: Side | None
    champion_facts: dict[str, Any] | None  # of its bundle, as in `EntryView`
    second: Side | None
    third: Side | None
    log_number: int
    log_hash: str


@dataclass(frozen=True)
class ResultsView:
    """The public results."""

    event: EventView
    phase: str
    voters: int | None  # as in `StageView`
    matches: list[MatchView]  # closed ones with two sides, the latest first
    champion: Side | None
    second: Side | None
    third: Side | None
    heats: list[RankedView]  # the ranking of everybody, once there is a champion; empty without heats
    log_number: int
    log_hash: str


@dataclass(frozen=True)
class RankedEntry:
    """An entry whose place is known."""

    entry: str
    seed: int  # number in the draw, from 1
    name: str
    first: int  # the place, from 1
    last: int  # the last of the places that it shares
    text: str
    prompt: str
    votes: int  # for it, in all its matches
    bundle: str  # SHA-256 of the file
    facts: dict[str, Any]  # as in `EntryView`


@dataclass(frozen=True)
class Ranking:
    """The bracket, and the place of everybody once the champion is known."""

    event: EventView
    rounds: list[RoundView]
    matches: list[MatchView]  # in the order of play
    entries: list[RankedEntry]  # the best first; empty until the champion is known
    disqualified: int  # entries of the draw that have no place
    log_number: int
    log_hash: str


@dataclass(frozen=True)
class EntryView:
    """An entry for everybody, after its last match."""

    entry: str
    name: str
    seed: int | None  # in the bracket; None: it came to its place in the heats
    heat_place: int | None
    text: str
    prompt: str
    bundle: str  # SHA-256 of the file
    facts: dict[str, Any]  # recipe, config, certificate, provenance, n_params
    matches: list[MatchView]  # its own, in the order of play
    champion: bool


@dataclass(frozen=True)
class AdviceView:
    """What one check of an entry found, which no verdict follows from."""

    check: str
    question: str  # what the check asks
    verdict: str  # passes, look at it, not checkable
    number: float | None
    bound: str  # what the number is compared with
    alarms: str  # how many honest runs were beyond the bound
    detail: str


@dataclass(frozen=True)
class ComparisonView:
    """What comparing one part of an entry with its model trained again gave, which no verdict follows from."""

    part: str
    question: str  # what was compared
    verdict: str  # agrees, does not agree, cannot be compared
    detail: str


@dataclass(frozen=True)
class ConsoleEntry:
    """An entry for the organizer."""

    entry: str
    owner: str  # id: the same for two entries of one person
    name: str
    state: str
    reason: str
    received: int
    size: int
    place: int | None
    attempt: int
    failures: int  # checks that could not be done, one after another
    worker: str | None
    text: str
    claimed_at: float
    prompt: str
    seed: int | None
    duplicates: list[str]  # entries of other owners with the same claim
    alike: list[str]  # a few names of other owners that look the same
    may_reinstate: bool  # disqualified, and it can take part again
    coauthors: int  # further authors, who do not vote on it either
    masked: bool  # pages do not show the name
    held: bool  # it is not drawn until it is released
    names_author: bool  # the verse contains its author's name
    advice: list[AdviceView] | None = None  # of checks that no verdict follows from; None: not checked
    retraining: list[ComparisonView] | None = None  # likewise; None: not trained again


@dataclass(frozen=True)
class ConsoleView:
    """What the console shows to the organizer, without the tallies of an open match."""

    event: EventView
    phase: str
    counts: dict[str, int]
    held: int  # verified entries that are held back
    pending: int  # entries that the draw waits for
    entries: list[ConsoleEntry]  # in the order of claims
    matches: list[MatchView]  # in the order of play
    open: MatchView | None  # of several, the one with a second vote, else the first
    opened: list[MatchView]  # all that are open
    unserved_since: float | None  # its clock stands since the server was away from then on
    practice: PracticeCounts | None
    ready: int  # matches of the next round that can be opened at once
    ready_seconds: float  # of a vote on all of them
    next: MatchView | None
    champion: Side | None
    third: Side | None
    voting: VotingPlan  # of the entries that are verified now
    voted: bool  # somebody has voted: the draw stays
    judgements: int  # of pairs, in the heats
    tickets: TicketCounts
    begun: bool  # a match was opened or a pair judged: who may vote stays as it is
    log_number: int
    log_hash: str
    recent: list[dict[str, Any]] = field(default_factory=list)  # the latest records: number, at, kind, data
