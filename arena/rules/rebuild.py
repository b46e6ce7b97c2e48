"""Rebuilds the facts of an event from its log alone.

`CHANGES` says for each kind of record what it changes. A new kind of record needs a line there, and nothing else: the
audit then compares what it changes with the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from arena.rules.bracket import THIRD, Standing, build_bracket
from arena.rules.chain import Record, commitment
from arena.rules.draw import draw_digest, draw_seeds, salt_digest
from arena.rules.facts import AttemptFacts, CountedJudgements, CountedRound, EntryFacts, Facts, MatchFacts, TicketFacts
from arena.rules.lifecycle import ADMISSIONS, LIVE, TIMES, UNDECIDED, Action, EventState, check_transition
from arena.rules.play import count_round, is_final_closed, open_poll, settle_rows, undo_poll
from arena.rules.results import Podium, podium_of
from arena.rules.tally import Tally, outcome
from trainer.verse import strictjson

Data = Mapping[str, Any]
Change = Callable[["Rebuild", float, Data], None]


class Impossible(ValueError):
    """A record that cannot follow the records before it."""

    def __init__(self, number: int, kind: str, why: str) -> None:
        super().__init__(f"record {number} ({kind}) {why}")
        self.number = number


@dataclass
class Rebuild:
    """The facts so far, and what the next record must follow from."""

    facts: Facts
    unsettled: tuple[Action, float] | None = None  # why and when the bracket must be resolved again

    def apply(self, record: Record) -> None:
        """Apply one record.

        Raises:
            Impossible: It cannot follow the records before it.
        """
        try:
            if record.kind not in CHANGES:
                raise ValueError("is of a kind that this version does not know")
            data = strictjson.parse(record.data.encode())
            if strictjson.dump(data).decode() != record.data:
                raise ValueError("is not canonical JSON")
            if self.unsettled and (record.kind not in ONE_OF_MANY or record.at != self.unsettled[1]):
                self.settle()
            CHANGES[record.kind](self, record.at, data)
        except KeyError as error:
            raise Impossible(record.number, record.kind, f"lacks or does not know {error}") from None
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            raise Impossible(record.number, record.kind, str(error)) from None

    def move(self, action: Action, state: EventState) -> None:
        """Set the event's state, if the action may lead there."""
        check_transition(action, self.facts.event.state, state)
        self.facts.event.state = state

    def settle(self) -> None:
        """Resolve the bracket again, as services do at the end of a transaction."""
        if self.unsettled is None:
            return
        (action, at), self.unsettled = self.unsettled, None
        facts = self.facts
        if not facts.matches:
            return
        settle_rows(facts.matches, facts.seeds(), facts.disqualified(), at=at)
        state: EventState = "champion" if is_final_closed(facts.matches) else "drawn"
        if facts.event.state != state:
            self.move(action, state)


def rebuild(records: Iterable[Record]) -> Facts:
    """Rebuild the facts of an event from its records.

    Args:
        records: all of them, in order; their chain is checked elsewhere.

    Raises:
        Impossible: A record cannot follow the records before it.
    """
    state = Rebuild(Facts())
    for record in records:
        state.apply(record)
    state.settle()
    return state.facts


def podium(facts: Facts) -> Podium:
    """Find the first three places by the matches."""
    rows = {row.kind: row for row in facts.matches.values()}

    def standing(kind: str) -> Standing | None:
        row = rows.get(kind)
        if row is None or row.state != "closed":
            return None
        loser = row.lower_id if row.winner_id == row.upper_id else row.upper_id
        return Standing(row.upper_id, row.lower_id, row.winner_id, loser)

    return podium_of(standing("final"), standing(THIRD), facts.disqualified())


# The event


def _created(state: Rebuild, at: float, data: Data) -> None:
    event = state.facts.event
    if event.state:
        raise ValueError("comes after the first record")
    event.name, event.rules, event.created_at, event.state = data["name"], dict(data["rules"]), at, "draft"
    event.salt_digest, event.nonce_digest = data["salt"], data["nonce"]
    state.facts.receipt_key = data["receipt_key"]


def _rules_set(state: Rebuild, at: float, data: Data) -> None:
    changes = {name: value for name, value in data.items() if name != "name"}
    action = Action.SET_LIMITS if changes.keys() - TIMES else Action.SET_TIMES
    state.move(action, state.facts.event.state)  # type: ignore[arg-type]
    if not changes.keys() <= state.facts.event.rules.keys():
        raise ValueError("sets a rule that there is not")
    state.facts.event.rules |= changes
    state.facts.event.name = data.get("name", state.facts.event.name)


def _opened(state: Rebuild, at: float, data: Data) -> None:
    event = state.facts.event
    state.move(Action.OPEN_SUBMISSIONS, "open")
    event.closes_at, event.closed_at, event.grace_ends_at = data["closes_at"], None, None
    event.draw_salt_digest, event.draw_word = data["draw_salt_digest"], ""
    if commitment(data["nonce"]) != event.nonce_digest:
        raise ValueError("gives another nonce than the first record fixed")
    state.facts.nonce = data["nonce"]


def _closing_time_set(state: Rebuild, at: float, data: Data) -> None:
    state.move(Action.SET_CLOSING_TIME, state.facts.event.state)  # type: ignore[arg-type]
    state.facts.event.closes_at = data["closes_at"]


def _closed(state: Rebuild, at: float, data: Data) -> None:
    state.move(Action.CLOSE_SUBMISSIONS, "closed")
    event = state.facts.event
    event.closed_at, event.grace_ends_at = data["at"], data["grace_ends_at"]


def _clock_set(state: Rebuild, at: float, data: Data) -> None:
    """Move the times that are still to come, where as much time is left as before."""
    if data["kept"] != "time-left":
        return
    by, event = data["by"], state.facts.event
    if event.state in ("draft", "open") and event.closes_at is not None:
        event.closes_at += by
    if event.state == "closed" and event.grace_ends_at is not None:
        event.grace_ends_at += by
    for row in state.facts.matches.values():
        if row.state == "open":
            row.votes_from = None if row.votes_from is None else row.votes_from + by
            row.closes_at = None if row.closes_at is None else row.closes_at + by
            row.paused_at = None if row.paused_at is None else row.paused_at + by


def _restored(state: Rebuild, at: float, data: Data) -> None:
    state.facts.event.epoch += 1


def _published(state: Rebuild, at: float, data: Data) -> None:
    state.move(Action.PUBLISH, "published")
    if commitment(data["salt"]) != state.facts.event.salt_digest:
        raise ValueError("gives another salt than the first record fixed")
    state.facts.salt = data["salt"]


def _nothing(state: Rebuild, at: float, data: Data) -> None:
    """Change nothing that an audit compares."""


def _admission_set(state: Rebuild, at: float, data: Data) -> None:
    state.move(Action.SET_ADMISSION, state.facts.event.state)  # type: ignore[arg-type]
    if state.facts.counted or data["admission"] not in ADMISSIONS:
        raise ValueError("changes who may vote after votes were counted, or to what there is not")
    state.facts.event.admission = data["admission"]


# Tickets


def _tickets_issued(state: Rebuild, at: float, data: Data) -> None:
    facts, count = state.facts, data["valid"] + data["spare"]
    if data["first"] != len(facts.tickets) + 1 or data["batch"] in facts.voters:
        raise ValueError("issues cards that there are already")
    if not len(data["ids"]) == len(data["owners"]) == count:
        raise ValueError("commits to another number of cards")
    facts.voters[data["batch"]] = data["voters"]
    for place, (card, owner) in enumerate(zip(data["ids"], data["owners"], strict=True)):
        number = data["first"] + place
        kind = "valid" if place < data["valid"] else "spare"
        facts.tickets[str(number)] = TicketFacts(number, data["batch"], kind, card, owner)


def _tickets_become(to: str, sources: tuple[str, ...], state: Rebuild, at: float, data: Data) -> None:
    for number in data["numbers"]:
        _expect_card(state, number, *sources).state = to


def _ticket_replaced(state: Rebuild, at: float, data: Data) -> None:
    lost, new = _expect_card(state, data["number"], "valid"), _expect_card(state, data["by"], "spare")
    lost.state, new.state, new.votes_from, new.owner_id = "void", "valid", at, data["owner"]


def _expect_card(state: Rebuild, number: int, *states: str) -> TicketFacts:
    card = state.facts.tickets[str(number)]
    if card.state not in states:
        raise ValueError(f"is about card {number}, which is {card.state}")
    return card


# The heats


def _heats_opened(state: Rebuild, at: float, data: Data) -> None:
    state.move(Action.OPEN_HEATS, state.facts.event.state)  # type: ignore[arg-type]
    state.facts.event.heats = "open"


def _heats_closed(state: Rebuild, at: float, data: Data) -> None:
    state.move(Action.CLOSE_HEATS, state.facts.event.state)  # type: ignore[arg-type]
    facts = state.facts
    if facts.event.heats != "open":
        raise ValueError("closes heats that are not open")
    facts.event.heats = "closed"
    facts.judged = CountedJudgements(data["count"], data["judgements"])
    for entry in facts.entries.values():
        entry.heat_place = None
    for entry_id, place in data["ranking"]:
        facts.entries[entry_id].heat_place = place


# Entries


def _coauthors_added(state: Rebuild, at: float, data: Data) -> None:
    state.move(Action.ADD_COAUTHOR, state.facts.event.state)  # type: ignore[arg-type]
    state.facts.entries[data["entry"]].coauthors = data["coauthors"]


def _claimed(state: Rebuild, at: float, data: Data) -> None:
    entries, name = state.facts.entries, data["entry"]
    earlier = entries.get(name)
    if earlier is not None and earlier.state in (*LIVE, "refused", "disqualified"):
        raise ValueError(f"claims an entry again that is {earlier.state}")
    state.move(Action.SEND_CLAIM, state.facts.event.state)  # type: ignore[arg-type]
    digests = {key: data[key] for key in ("claim", "name", "verse", "contents", "bundle")}
    entries[name] = EntryFacts(name, claimed_at=at, **digests)
    if earlier is not None:
        entries[name].attempt, entries[name].coauthors = earlier.attempt, earlier.coauthors
        for kept in ("heat_place", "masked", "name_set", "held"):
            setattr(entries[name], kept, getattr(earlier, kept))
    if data["bundle"] is not None:
        entries[name].state = "waiting"


def _renamed(state: Rebuild, at: float, data: Data) -> None:
    state.move(Action.RENAME_ENTRY, state.facts.event.state)  # type: ignore[arg-type]
    state.facts.entries[data["entry"]].name = data["name"]


def _name_set(state: Rebuild, at: float, data: Data) -> None:
    entry = state.facts.entries[data["entry"]]
    entry.name, entry.name_set = data["name"], True


def _masked(masked: bool, state: Rebuild, at: float, data: Data) -> None:
    state.facts.entries[data["entry"]].masked = masked


def _held(held: bool, state: Rebuild, at: float, data: Data) -> None:
    state.move(Action.HOLD_BACK, state.facts.event.state)  # type: ignore[arg-type]
    _expect(state, data, *LIVE).held = held


def _complete(state: Rebuild, at: float, data: Data) -> None:
    entry = _expect(state, data, "receiving")
    entry.bundle, entry.state = data["bundle"], "waiting"


def _left(to: str, sources: tuple[str, ...], state: Rebuild, at: float, data: Data) -> None:
    entry = _expect(state, data, *sources)
    entry.state = to
    if to in ("withdrawn", "replaced"):
        entry.code = None
    if to != "replaced":
        entry.reason = data["reason"]


def _disqualified(state: Rebuild, at: float, data: Data) -> None:
    state.move(Action.DISQUALIFY, state.facts.event.state)  # type: ignore[arg-type]
    entry = _expect(state, data, *LIVE)
    entry.state, entry.code, entry.reason = "disqualified", "disqualified", data["reason"]
    state.unsettled = (Action.DISQUALIFY, at)


def _reinstated(state: Rebuild, at: float, data: Data) -> None:
    state.move(Action.REINSTATE, state.facts.event.state)  # type: ignore[arg-type]
    entry = _expect(state, data, "disqualified")
    if (data["state"] == "verified") != (entry.verdict == "PASS"):
        raise ValueError("does not agree with the entry's verdict")
    entry.state, entry.code, entry.reason = data["state"], None, None
    state.unsettled = (Action.REINSTATE, at)


def _expect(state: Rebuild, data: Data, *states: str) -> EntryFacts:
    entry = state.facts.entries[data["entry"]]
    if entry.state not in states:
        raise ValueError(f"is about an entry that is {entry.state}, not {' or '.join(states)}")
    return entry


# Checks


def _check_started(state: Rebuild, at: float, data: Data) -> None:
    entry = _expect(state, data, "waiting", "verifying")
    if data["attempt"] != entry.attempt + 1:
        raise ValueError(f"is attempt {data['attempt']} after attempt {entry.attempt}")
    for number in range(1, entry.attempt + 1):
        attempt = state.facts.attempts.get((entry.id, number))
        if attempt is not None and attempt.ended_at is None:
            attempt.ended_at, attempt.verdict = at, "LOST"
    entry.state, entry.attempt = "verifying", data["attempt"]
    state.facts.attempts[entry.id, entry.attempt] = AttemptFacts(entry.bundle, at)


def _check_ended(state: Rebuild, at: float, data: Data) -> None:
    attempt = state.facts.attempts[data["entry"], data["attempt"]]
    attempt.ended_at, attempt.verdict, attempt.report = at, data["verdict"], data["report"]


def _released(state: Rebuild, at: float, data: Data) -> None:
    entry = _expect(state, data, "verifying")
    _check_ended(state, at, data)
    entry.state, entry.code, entry.reason = "waiting", data["code"], data["reason"]


def _postponed(state: Rebuild, at: float, data: Data) -> None:
    entry = _expect(state, data, "verifying")
    _check_ended(state, at, data)
    entry.state = "waiting"


def _verified_again(state: Rebuild, at: float, data: Data) -> None:
    entry = _expect(state, data, "verified", "refused")
    state.move(Action.VERIFY_AGAIN, state.facts.event.state)  # type: ignore[arg-type]
    entry.attempt += 1
    if data["attempt"] != entry.attempt:
        raise ValueError(f"is attempt {data['attempt']}, not {entry.attempt}")
    state.facts.attempts[entry.id, entry.attempt] = AttemptFacts(entry.bundle, at)
    _check_ended(state, at, data)


def _verdict(state: Rebuild, at: float, data: Data) -> None:
    entry = _expect(state, data, "waiting", "verifying", "verified", "refused")
    if entry.state in ("verified", "refused"):
        _verified_again(state, at, data)
    if data["state"] not in (("verified", "refused") if data["verdict"] == "PASS" else ("refused",)):
        raise ValueError(f"makes a verse of the verdict {data['verdict']} {data['state']}")
    if data["attempt"] != entry.attempt:
        raise ValueError(f"is of attempt {data['attempt']}, not {entry.attempt}")
    if entry.state == "verifying":
        _check_ended(state, at, data)
    entry.state, entry.verdict, entry.code, entry.reason = data["state"], data["verdict"], data["code"], data["reason"]


# The bracket


def _drawn(state: Rebuild, at: float, data: Data) -> None:
    facts, event = state.facts, state.facts.event
    if salt_digest(data["draw_salt"]) != event.draw_salt_digest:
        raise ValueError("has another salt than was fixed when submissions opened")
    if event.draw_word not in ("", data["draw_word"]):
        raise ValueError("has another word than the room gave")
    taking_part = [entry.id for entry in facts.entries.values() if entry.state == "verified" and not entry.held]
    event.draw_digest = draw_digest(data["draw_salt"], data["draw_word"], taking_part)
    order = draw_seeds(event.draw_digest, taking_part)
    event.seeding = data.get("seeding", "lot")
    if event.seeding == "heats":
        order.sort(key=lambda entry: facts.entries[entry].heat_place or 0)  # the lot orders equal ones
    drawn = [*data["entries"], *data.get("others", [])]
    if drawn != order if event.seeding in ("lot", "heats") else sorted(drawn) != sorted(order):
        raise ValueError("has another order than salt, word and the verified entries give")
    event.draw_word, event.drawn_at = data["draw_word"], at
    state.move(Action.DRAW_BRACKET, "drawn")
    for number, entry in enumerate(data["entries"], start=1):
        facts.entries[entry].seed = number
    facts.matches = {
        match.id: MatchFacts(match.id, position, match.round, match.slot, match.number, match.kind)
        for position, match in enumerate(build_bracket(len(data["entries"])), start=1)
    }
    state.unsettled = (Action.DRAW_BRACKET, at)


def _draw_undone(state: Rebuild, at: float, data: Data) -> None:
    if any(counted.tally != Tally(0, 0) for counted in state.facts.counted.values()):
        raise ValueError("takes a draw back after votes were counted")
    state.move(Action.UNDO_DRAW, "closed")
    state.facts.matches = {}
    state.facts.opened.clear()
    state.facts.counted.clear()
    for entry in state.facts.entries.values():
        entry.seed = None
    event = state.facts.event
    event.drawn_at, event.draw_digest, event.seeding = None, "", "lot"


def _match_opened(state: Rebuild, at: float, data: Data) -> None:
    row = state.facts.matches[data["match"]]
    state.move(Action.OPEN_MATCH, state.facts.event.state)  # type: ignore[arg-type]
    if row.state != "pending":
        raise ValueError("opens a match that cannot be opened")
    if (data["upper"], data["lower"]) != (row.upper_id, row.lower_id) or not (row.upper_id and row.lower_id):
        raise ValueError("has other sides than the bracket")
    open_poll(row, at=at, votes_from=data["votes_from"], closes_at=data["closes_at"])
    if data["poll"] != row.poll:
        raise ValueError(f"is poll {data['poll']}, not {row.poll}")
    state.facts.opened.add((row.id, row.poll, 0))


def _match_time_set(state: Rebuild, at: float, data: Data) -> None:
    row = _expect_open(state, data)
    row.votes_from, row.closes_at, row.paused_at = data["votes_from"], data["closes_at"], data["paused_at"]


def _match_paused(state: Rebuild, at: float, data: Data) -> None:
    _expect_open(state, data).paused_at = data.get("since", at)  # where the server was away, since it was


def _votes_counted(state: Rebuild, at: float, data: Data) -> None:
    row, tally = _expect_open(state, data), Tally(data["upper"], data["lower"])
    if data["poll_round"] != row.poll_round:
        raise ValueError(f"counts round {data['poll_round']} and not {row.poll_round}")
    if data["outcome"] != outcome(tally, row.poll_round):
        raise ValueError("has another outcome than its votes give")
    event = state.facts.event
    state.facts.counted[row.id, row.poll, row.poll_round] = CountedRound(tally, data["votes"])
    revote = event.rules["revote_seconds"]
    if count_round(row, tally, draw_digest=event.draw_digest, revote_seconds=revote, at=at) is None:
        state.facts.opened.add((row.id, row.poll, row.poll_round))
    else:
        state.unsettled = (Action.CLOSE_MATCH, at)


def _match_undone(state: Rebuild, at: float, data: Data) -> None:
    row = state.facts.matches[data["match"]]
    if data["poll"] != row.poll or row.state == "pending":
        raise ValueError("undoes a vote that there was not")
    undo_poll(row)
    state.unsettled = (Action.UNDO_MATCH, at)


def _match_settled(state: Rebuild, at: float, data: Data) -> None:
    row = state.facts.matches[data["match"]]
    if (data["state"], data["winner"], data["by"]) != (row.state, row.winner_id, row.decided_by):
        raise ValueError("says another result than the votes give")


def _champion(state: Rebuild, at: float, data: Data) -> None:
    if state.facts.event.state != "champion" or data["entry"] != podium(state.facts).champion:
        raise ValueError("names another champion than the matches give")


def _expect_open(state: Rebuild, data: Data) -> MatchFacts:
    row = state.facts.matches[data["match"]]
    if row.state != "open" or data["poll"] != row.poll:
        raise ValueError("is about a vote that is not open")
    return row


ONE_OF_MANY = ("entry-disqualified", "entry-reinstated")  # several may stand in one transaction, and are settled once

CHANGES: Mapping[str, Change] = {
    "event-created": _created,
    "rules-set": _rules_set,
    "submissions-opened": _opened,
    "closing-time-set": _closing_time_set,
    "submissions-closed": _closed,
    "event-restored": _restored,
    "clock-differs": _nothing,
    "clock-set": _clock_set,
    "address-set": _nothing,  # where the pages are
    "admission-set": _admission_set,
    "tickets-issued": _tickets_issued,
    "tickets-activated": partial(_tickets_become, "valid", ("spare",)),
    "tickets-voided": partial(_tickets_become, "void", ("valid", "spare")),
    "ticket-replaced": _ticket_replaced,
    "heats-opened": _heats_opened,
    "heats-closed": _heats_closed,
    "coauthors-added": _coauthors_added,
    "published": _published,
    "claim-taken": _claimed,
    "entry-renamed": _renamed,
    "bundle-complete": _complete,
    "entry-withdrawn": partial(_left, "withdrawn", LIVE),
    "entry-expired": partial(_left, "expired", UNDECIDED),
    "entry-replaced": partial(_left, "replaced", ("verified",)),
    "entry-disqualified": _disqualified,
    "entry-reinstated": _reinstated,
    "check-started": _check_started,
    "check-released": _released,
    "check-postponed": _postponed,
    "verdict": _verdict,
    "verdict-late": _check_ended,
    "bundles-removed": _nothing,  # files that the audit of a file then says are not there
    "bracket-drawn": _drawn,
    "draw-undone": _draw_undone,
    "match-opened": _match_opened,
    "match-time-set": _match_time_set,
    "match-paused": _match_paused,
    "match-resumed": _match_time_set,
    "practice-opened": _nothing,
    "practice-closed": _nothing,
    "race-set": _nothing,  # the race of the trainings decides nothing
    "curve-set": _nothing,
    "entry-name-set": _name_set,
    "entry-masked": partial(_masked, True),
    "entry-unmasked": partial(_masked, False),
    "entry-held": partial(_held, True),
    "entry-released": partial(_held, False),
    "verified-again": _verified_again,
    "votes-counted": _votes_counted,
    "match-undone": _match_undone,
    "match-settled": _match_settled,
    "champion": _champion,
}
