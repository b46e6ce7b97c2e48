"""Compares facts that were found, in tables or in a file, with those that the log gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from arena.rules.chain import ballots_digest, judgements_digest
from arena.rules.facts import Ballots, Facts, Judgements
from arena.rules.ranking import Ranked, rank
from arena.rules.tally import Tally
from arena.rules.voters import voters_digest

MAX_VALUE = 80  # characters of a value in a difference


@dataclass(frozen=True)
class Difference:
    """One fact that is not what the log gives. Values may hold untrusted text."""

    subject: str  # such as "match r1m1"
    fact: str  # such as "winner_id"
    log: str  # what follows from the log
    found: str

    def __str__(self) -> str:
        return f"{self.subject}, {self.fact}: the log gives {self.log}, but found is {self.found}"


def compare(log: Facts, found: Facts) -> Iterator[Difference]:
    """Compare the event, its entries, checks and matches, field by field."""
    yield from _fields("the event", log.event, found.event)
    for what, mine, theirs in (
        ("entry", log.entries, found.entries),
        ("check", log.attempts, found.attempts),
        ("match", log.matches, found.matches),
        ("card", log.tickets, found.tickets),
    ):
        yield from _rows(what, mine, theirs)


def compare_ballots(log: Facts, ballots: Ballots, salt: str) -> Iterator[Difference]:
    """Compare the ballots with the digests and the tallies of the rounds that were counted.

    Args:
        log: what the log gives.
        ballots: all that were found.
        salt: of the log.
    """
    for key, counted in log.counted.items():
        of_round = ballots.get(key, ())
        subject, choices = name_of_round(*key), Counter(choice for _, choice, _ in of_round)
        tally = Tally(choices["upper"], choices["lower"])
        if tally != counted.tally:
            yield Difference(subject, "votes", _tally(counted.tally), _tally(tally))
        if len({voter for voter, _, _ in of_round}) != len(of_round):
            yield Difference(subject, "voters", "one vote each", "several votes of one voter")
        if ballots_digest(salt, *key, of_round) != counted.digest:
            yield Difference(subject, "digest of all votes", _show(counted.digest), "another")
    for key in sorted(set(ballots) - log.opened):
        yield Difference(name_of_round(*key), "votes", "that there was no such vote", f"{len(ballots[key])} of them")


def compare_voters(log: Facts, voters: Mapping[int, Sequence[str]], voted: Iterable[str]) -> Iterator[Difference]:
    """Compare the voters to whom cards were issued with the log, and those who voted with them.

    Args:
        log: what the log gives.
        voters: the ids of each batch of cards.
        voted: ids of all who have voted or judged.
    """
    for batch in sorted(log.voters.keys() | voters.keys()):
        if batch not in log.voters or voters_digest(voters.get(batch, ())) != log.voters[batch]:
            yield Difference(f"cards of batch {batch}", "voters", "those that it committed to", "others")
    if log.event.admission == "tickets":
        known = {voter for batch in log.voters for voter in voters.get(batch, ())}
        for voter in sorted(set(voted) - known):
            yield Difference(f"voter {voter}", "ticket", "one for each voter", "a vote without a ticket")


def compare_judgements(log: Facts, judgements: Judgements, salt: str) -> Iterator[Difference]:
    """Compare the judgements of closed heats with their digest, and the places with the ranking that they give.

    Args:
        log: what the log gives.
        judgements: all that were found.
        salt: of the log.
    """
    if log.judged is None or log.event.heats != "closed":
        return
    if len(judgements) != log.judged.count:
        yield Difference("the heats", "judgements", str(log.judged.count), str(len(judgements)))
    if judgements_digest(salt, judgements) != log.judged.digest:
        yield Difference("the heats", "digest of all judgements", _show(log.judged.digest), "another")
    ranked = [entry.id for entry in log.entries.values() if entry.heat_place is not None]
    for verse in ranking_of(ranked, judgements):
        place = log.entries[verse.entry].heat_place
        if verse.place != place:
            yield Difference(f"entry {verse.entry}", "heat_place", _show(place), f"{verse.place} by the judgements")


def ranking_of(entries: Sequence[str], judgements: Judgements) -> Sequence[Ranked]:
    """Rank verses by judgements.

    Args:
        entries: ids of those that were ranked.
        judgements: voter id, both entries and choice of each.
    """
    counts = Counter((upper, lower) if choice == "upper" else (lower, upper) for _, upper, lower, choice in judgements)
    return rank(entries, counts).ranked


def name_of_round(match: str, poll: int, poll_round: int) -> str:
    """Name a round of a poll for people.

    >>> name_of_round("r1m1", 1, 1)
    'match r1m1, opened for the 2nd time, second vote'
    """
    again = "" if poll == 0 else f", opened for the {poll + 1}{ {1: 'nd', 2: 'rd'}.get(poll, 'th') } time"
    return f"match {match}{again}, {('first', 'second')[min(poll_round, 1)]} vote"


def _rows(what: str, log: Mapping[Any, Any], found: Mapping[Any, Any]) -> Iterator[Difference]:
    for key in log.keys() | found.keys():
        subject = f"{what} {key if isinstance(key, str) else ' attempt '.join(map(str, key))}"
        if key not in found:
            yield Difference(subject, "row", "one", "none")
        elif key not in log:
            yield Difference(subject, "row", "none", "one")
        else:
            yield from _fields(subject, log[key], found[key])


def _fields(subject: str, log: Any, found: Any) -> Iterator[Difference]:
    for field in fields(log):
        mine, theirs = getattr(log, field.name), getattr(found, field.name)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            for name in sorted(mine.keys() | theirs.keys()):
                if mine.get(name) != theirs.get(name):
                    yield Difference(subject, f"{field.name}, {name}", _show(mine.get(name)), _show(theirs.get(name)))
        elif mine != theirs:
            yield Difference(subject, field.name, _show(mine), _show(theirs))


def _tally(tally: Tally) -> str:
    return f"{tally.upper}:{tally.lower}"


def _show(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "…"
