"""What commands print. Names and verses come from strangers: nothing in them may control a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from trainer.verse.text import pluralize, sanitize

if TYPE_CHECKING:
    from arena.services.schemas import (
        AdviceView,
        ComparisonView,
        ConsoleEntry,
        ConsoleView,
        EventView,
        HeatsView,
        MatchResult,
        MatchView,
        PlanOption,
        RaceList,
        Side,
        TicketCounts,
        VotingPlan,
    )
    from arena.verification.report import Report, Token

VERDICT_COLORS = {"PASS": "green", "FAIL": "red", "UNDECIDED": "yellow", "MALFORMED": "red", "ERROR": "magenta"}
INDENT = " " * 11
MAX_SHOWN = 300  # characters of one piece of untrusted text
MIN_ENTRIES = 2  # verified verses of a bracket
SHORT_ID = 8  # characters of an entry's id


def printable(text: str) -> str:
    """Escape untrusted text for a terminal, and shorten it."""
    return sanitize(text, MAX_SHOWN)


def echo_lines(lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        click.echo(line)


def short_id(entry_id: str) -> str:
    """Shorten an entry's id to what commands show and accept."""
    return entry_id[:SHORT_ID]


# Reports of `arena verify`


def report_lines(report: Report) -> Iterator[str]:
    """Write a report: a line with verdict, file and main fact, and indented lines with further facts."""
    head = f"{report.verdict:<{len(INDENT) - 1}} {printable(report.file)}"
    if report.verdict == "PASS":
        proof = f", proved with {report.precise_bits} bits" if report.precise_bits else ""
        yield f"{head}  {pluralize(report.tokens or 0, 'token')}, {_gap(report.certificate)}{proof}"
    else:
        yield f"{head}  {printable(report.reason or '')}"
        if report.expected and report.got:
            yield INDENT + _difference(report, report.expected, report.got)
    if report.certificate_agrees is False:
        claimed = _gap(report.claimed_certificate)
        yield f"{INDENT}remark: the file's certificate says {claimed}; here it is {_gap(report.certificate)}"


def _difference(report: Report, expected: Token, got: Token) -> str:
    place = f"at token {report.position} of {report.tokens}, "
    place += f"after {_quote(report.before)}, " if report.before else "the first one, "
    if expected == got:
        return f"{place}{_quote(got['text'])} is chosen, but only just"
    return f"{place}expected {_quote(expected['text'])}, got {_quote(got['text'])}"


def _quote(text: str | None) -> str:
    return printable(repr(text))


def _gap(certificate: dict[str, Any] | None) -> str:
    if certificate is None:
        return "no gap"
    return f"smallest gap {certificate['smallest_gap']:.3g} at token {certificate['position']}"


# The event


def event_lines(view: ConsoleView) -> Iterator[str]:
    """Write the state of the event, its entries and its matches."""
    yield f"{printable(view.event.name)}: {view.event.state}"
    yield from _time_lines(view.event)
    counts = [f"{count} {state}" for state, count in view.counts.items() if count]
    yield "entries: " + (", ".join(counts) or "none")
    yield from admission_lines(view.event)
    if any(vars(view.tickets).values()):
        yield from ticket_lines(view.tickets)
    if view.matches:
        played = [match for match in view.matches if match.decided_by != "bye"]
        yield f"matches: {sum(match.state == 'closed' for match in played)} of {len(played)} closed"
    if view.open is not None:
        yield "open: " + match_line(view.open)
    if view.next is not None:
        yield "next: " + match_line(view.next)
    if sentence := ending(view):
        yield sentence
    for title, side in (("champion", view.champion), ("third", view.third)):
        if side is not None:
            yield f"{title}: {_side(side)}"
    yield f"log: record {view.log_number}, {view.log_hash[:16]}"


def ending(view: ConsoleView) -> str:
    """Say what is so where an event cannot come to a champion in the usual way, and what can be done; "" elsewhere."""
    reason = "every verse was disqualified" if view.matches else "fewer than two verses took part"
    if view.phase == "published":
        return "" if view.champion else f"published without a champion: {reason}"
    if view.phase == "champion" and view.champion is None:
        return (
            f"{reason}, so there is no champion: let one in again with `arena entry reinstate`, "
            "or end the event with `arena event publish`"
        )
    if view.phase == "checking" and not view.pending and view.counts["verified"] < MIN_ENTRIES:
        there = "there is one" if view.counts["verified"] else "there is none"
        return (
            f"a bracket needs two verified verses, and {there}: let late ones in with `arena event open`, "
            "or end the event without a champion with `arena event publish`"
        )
    return ""


def state_lines(view: EventView) -> Iterator[str]:
    """Write the state of the event and the times that follow from it."""
    yield f"the event is {view.state}"
    yield from _time_lines(view)


def entry_lines(entries: Sequence[ConsoleEntry], *, verses: bool = False) -> Iterator[str]:
    """Write every entry: a line with its facts and its first line, and one with the reason of an unusual state.

    Args:
        entries: in the order of the list.
        verses: whether each whole verse follows.
    """
    for entry in entries:
        poem = entry.prompt + entry.text
        remarks = "  (another owner has entered the same verse)" if entry.duplicates else ""
        author = printable(entry.name)
        remarks += "  (another owner's name looks the same)" if entry.alike else ""
        remarks += "  (the verse contains its author's name)" if entry.names_author else ""
        remarks += "  (name masked)" if entry.masked else ""
        remarks += "  (held back)" if entry.held else ""
        owner, claimed = short_id(entry.owner), _clock(entry.claimed_at)
        verse = f"{author}: {printable(first_line(poem))}{remarks}"
        yield f"{short_id(entry.entry)}  {entry.state:<12} {claimed}  owner {owner}  {verse}"
        if entry.state not in ("verified", "waiting", "verifying"):
            yield f"{'':<{SHORT_ID}}  {'':<12} {printable(entry.reason)}"
        if verses:
            yield from (f"    | {sanitize(line)}" for line in poem.splitlines())
    if not entries:
        yield "no entries yet"


def advice_lines(views: Sequence[AdviceView], *, brief: bool = False) -> Iterator[str]:
    """Write what the checks of an entry found.

    Args:
        views: one for each check.
        brief: leave out what passes or is not checkable, unless no check could be made.
    """
    if brief and all(view.number is None for view in views):
        yield from (f"  no check could be made: {printable(view.detail)}" for view in views[:1])
    for view in views:
        if view.number is None:
            if not brief:
                yield f"  {view.check:<11} {view.verdict}: {printable(view.detail)}"
        elif not brief or view.verdict == "look at it":
            number = f"{view.number:.3g} ({view.bound}; beyond it were {view.alarms})"
            yield f"  {view.check:<11} {view.verdict}: {number}: {printable(view.detail)}"


def comparison_lines(views: Sequence[ComparisonView]) -> Iterator[str]:
    """Write what training an entry again gave."""
    for view in views:
        yield f"  {view.part:<9} {view.verdict}: {view.question}; {printable(view.detail)}"


ADMISSIONS = {
    "tickets": "voting by ticket: one vote a card",
    "pin": "voting by the room's PIN: one vote a browser",
    "open": "open voting: one vote a browser",
}


def admission_lines(view: EventView) -> Iterator[str]:
    """Write who may vote."""
    yield ADMISSIONS[view.admission]


def ticket_lines(counts: TicketCounts) -> Iterator[str]:
    """Write how many cards there are."""
    yield f"{pluralize(counts.valid, 'valid card')}, {counts.spare} spare, {counts.void} void"


def rule_lines(view: EventView) -> Iterator[str]:
    """Write the title and the rules that the organizer can set."""
    rules = view.rules
    yield printable(view.name)
    yield (
        f"a verse has at most {pluralize(rules.lines, 'line')} and {pluralize(rules.characters, 'character')}, "
        f"its prompt at most {rules.prompt_characters}"
    )
    yield f"at most {pluralize(rules.max_entries, 'owner')} with a verse in the event"
    yield f"an owner enters at most {pluralize(rules.max_claims, 'verse')}, {rules.max_open} of them without a verdict"
    yield f"the check of a verse takes at most {rules.check_seconds:g} processor seconds"
    yield f"the check of a verse takes at most {rules.check_memory // 2**20:,} MiB of memory"
    yield f"uploads may finish within {rules.grace_seconds / 60:g} minutes after closing"
    yield (
        f"matches: {rules.reading_seconds:g} s of reading, {rules.match_seconds:g} s of voting, "
        f"{rules.revote_seconds:g} s for a second vote"
    )


def clock_lines(event: float, computer: float, ahead: float) -> Iterator[str]:
    """Write what the two clocks say.

    Args:
        event: the event's time, in seconds since the epoch.
        computer: the computer's.
        ahead: seconds by which the computer's is ahead; 0 where they agree.
    """
    yield f"the event's clock says {_clock(event)}, this computer's {_clock(computer)}"
    if ahead:
        way = "ahead" if ahead > 0 else "behind"
        yield f"this computer's clock is {pluralize(round(abs(ahead)), 'second')} {way}: it was changed, or it slept"
        yield "what is open closes by the event's clock; to take the computer's time: arena event clock --follow"


def _time_lines(view: EventView) -> Iterator[str]:
    closes_at = view.closes_at if view.state in ("draft", "open") else None
    for title, moment in (("closes", closes_at), ("grace time ends", view.grace_ends_at)):
        if moment is not None and view.state in ("draft", "open", "closed"):
            yield f"{title} at {_clock(moment)}"


def _clock(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment))


def plan_lines(plan: VotingPlan, minutes: float | None) -> Iterator[str]:
    """Write how long the voting takes in each way, and the timetable of the one that fits.

    Args:
        plan: of the voting.
        minutes: the time there is; None: unknown.
    """
    yield f"{plan.entries} verses, {pluralize(plan.voters, 'voter')}; a tie adds a second vote"
    for option in plan.options:
        yield f"{_minutes(option.seconds):>10}  {_way(option)}, {pluralize(option.matches, 'match', 'matches')}"
    if plan.proposal is None:
        yield f"nothing of this fits into {minutes:g} minutes: let fewer go on, or make the votes shorter"
        return
    if minutes is None:
        return
    yield f"into {minutes:g} minutes fits: {_way(plan.proposal)}"
    begin = 0.0
    for part in plan.proposal.parts:
        matches = f", {pluralize(part.matches, 'match', 'matches')}" if part.matches > 1 else ""
        yield f"  {int(begin // 60):>3}:{int(begin % 60):02}  {part.title}{matches}"
        begin += part.seconds
    yield f"  {int(begin // 60):>3}:{int(begin % 60):02}  end"
    if plan.proposal.heats:
        yield f"then: arena heats open; arena bracket draw --seeding heats --places {plan.proposal.places}"


def minutes_text(seconds: float) -> str:
    """Return a time for people."""
    return _minutes(seconds) if seconds >= 90 else pluralize(max(1, round(seconds)), "second")


def _minutes(seconds: float) -> str:
    return pluralize(round(seconds / 60), "minute")


def _way(option: PlanOption) -> str:
    who = f"heats, then the best {option.places} play" if option.heats else f"all {option.places} play"
    return f"{who}, {'a round' if option.at_once else 'one match'} at a time"


def heats_lines(view: HeatsView) -> Iterator[str]:
    """Write how many judgements there are, and whether it is clear who goes on."""
    yield f"the heats are {view.state}" if view.state != "none" else "there are no heats: `arena heats open` opens them"
    voters = pluralize(view.voters, "person", "people")
    each = f"{view.least}" if view.least == view.most else f"{view.least} to {view.most}"
    yield f"{pluralize(view.judgements, 'judgement')} by {voters}, {each} of each of {view.entries} verses"
    for cut in view.cuts:
        if cut.clear:
            clear = "it is clear who goes on"
        elif cut.needed is not None and view.judgements:
            clear = f"not clear yet who goes on; about {cut.needed:,} more judgements would tell"
        else:
            clear = "not clear who goes on: the verses at the cut are about equal"
        yield f"{cut.places} places: {clear}"


def race_lines(view: RaceList) -> Iterator[str]:
    """Write the curves of the race; their samples are text of strangers."""
    yield "the race is shown while submissions are open" if view.on else "the race is off: `arena race on` shows it"
    for curve in view.curves:
        loss = f"{curve.bits:.3f} bits per character" if curve.bits is not None else "not evaluated yet"
        hidden = ", hidden" if curve.hidden else ""
        yield f"{curve.nickname:<18} step {curve.step:,} of {curve.steps:,}, {curve.minutes:.1f} min, {loss}{hidden}"
        for line in curve.sample.split("\n") if curve.sample else ():
            yield f"    {printable(line)}"


def ranking_lines(view: HeatsView) -> Iterator[str]:
    """Write the ranking: how often each verse is preferred to an average one, with its interval."""
    for verse in view.ranking:
        share = f"{100 * verse.share:.0f} % ({100 * verse.low:.0f} to {100 * verse.high:.0f})"
        words = printable(first_line(verse.prompt + verse.text))
        yield f"{verse.place:>5}. {short_id(verse.entry)}  {share:<16} {words}"


def first_line(poem: str) -> str:
    """Return the first line of a poem that is not empty."""
    return next((line for line in poem.splitlines() if line.strip()), "")


# The bracket and its matches


def bracket_lines(view: ConsoleView) -> Iterator[str]:
    """Write every match, and the champion."""
    if not view.matches:
        yield "there is no bracket" if view.event.state == "published" else "there is no bracket yet"
    for match in view.matches:
        yield match_line(match)
    if sentence := ending(view):
        yield sentence
    if view.champion is not None:
        yield f"champion: {_side(view.champion)}"


def match_line(match: MatchView) -> str:
    """Write a match: its name, its state, its two sides and its result."""
    result = ""
    if match.state == "open":
        round_name = "second vote, " if match.poll_round else ""
        until = ", paused" if match.paused else f" until {_clock(match.closes_at)}" if match.closes_at else ""
        result = f"  ({round_name}{pluralize(match.votes or 0, 'vote')}{until})"
    elif match.decided_by is not None:
        tallies = _tallies(match.tallies or [])
        result = f"  ({_decided(match.decided_by)}{' ' + tallies if tallies else ''})"
    return f"{match.id:<6} {match.state:<8} {_side(match.upper)} | {_side(match.lower)}{result}"


def result_lines(result: MatchResult) -> Iterator[str]:
    """Write what closing a match led to."""
    tallies = _tallies(result.tallies)
    if result.state == "open":
        until = f" until {_clock(result.closes_at)}" if result.closes_at else ""
        tie = f"{result.title} ({result.match}) is a tie ({tallies})"
        yield f"{tie}: the second vote is open{until}; close it by --revote"
    else:
        winner = f"“{printable(result.winner_label or '')}” ({short_id(result.winner or '?')})"
        yield f"{result.title} ({result.match}) is closed ({tallies}): {winner} wins, by {_decided(result.decided_by)}"
    if result.champion is not None:
        author = f" by {printable(result.champion.name)}" if result.champion.name else ""
        yield f"the champion is “{printable(result.champion.label)}”{author} ({short_id(result.champion.entry)})"


def _decided(by: str | None) -> str:
    """Return what decided a match; the lot is called a lot, since a draw may also be a tie or that of the bracket."""
    return {"draw": "lot", "revote": "second vote"}.get(by or "", by or "")


def _tallies(tallies: Sequence[Sequence[int]]) -> str:
    return ", ".join(f"{upper}:{lower}" for upper, lower in tallies)


def _side(side: Side | None) -> str:
    if side is None:
        return "?"
    author = f" by {printable(side.name)}" if side.name else ""
    return f"{side.seed}. {printable(side.label)}{author}{' *' if side.mark == 'won' else ''}"
