"""A whole evening with everything that an audit must follow, up to its publication."""

from __future__ import annotations

from pathlib import Path

from arena.services.bracket import close_match, open_match, undo_match
from arena.services.claims import take_claim
from arena.services.disqualification import disqualify
from arena.services.drawing import draw_bracket
from arena.services.editing import set_held, set_masked, set_name
from arena.services.events import set_rules
from arena.services.heats import close_heats, deal, get_page, judge, open_heats
from arena.services.publishing import publish
from arena.services.queries import get_next_match
from arena.services.rechecks import checked_entries, record_recheck
from arena.services.rounds import pause, resume
from arena.services.tickets import issue, replace, void
from arena.store.schema import Entry, Match
from arena.verification.check import check_bundle
from tests.support.bundles import forged_verse, header_of, verse
from tests.support.evening import WORD, Evening, secret_of


def play_evening(folder: Path) -> Evening:
    """Play an evening with names, cards, heats, a disqualification, a tie and a match played again, to its champion."""
    evening = Evening(folder)
    evening.begin()
    authors = [evening.author(f"Poet {number}", number) for number in range(5)]
    evening.author("Poet 4", 5)  # replaces a verse
    evening.enter("Forger", forged_verse(1))
    header, secret = header_of(verse(0)), secret_of("Poet 0")
    others = (secret_of("Coauthor"),)
    claim = (evening.db, evening.bundles, evening.spool, header, secret, "Ada")
    take_claim(*claim, authors=others, key=evening.key, now=evening.now)
    issue(evening.db, 3, 2, now=evening.now)
    void(evening.db, [2], now=evening.now)
    replace(evening.db, 1, now=evening.now)
    evening.verify_all()
    set_held(evening.db, evening.author("Late", 7).entry, True, now=evening.now)
    evening.verify_all()
    set_name(evening.db, authors[1].entry, "Grace", now=evening.now)
    set_masked(evening.db, authors[2].entry, True, now=evening.now)
    set_rules(evening.db, name="Another title", lines=7, now=evening.now)
    [checked] = checked_entries(evening.db, [authors[1].entry])
    report = check_bundle(evening.bundles.local_copy(checked.bundle).read_bytes())
    assert record_recheck(evening.db, checked, report, now=evening.now)
    open_heats(evening.db, now=evening.now)
    for judging in ("vera", "willy"):
        for _ in range(3):
            judge_left(evening, judging)
    close_heats(evening.db, now=evening.now)
    evening.close()
    draw_bracket(evening.db, word=WORD, seeding="heats", now=evening.now)
    disqualify(evening.db, authors[3].entry, "not written here", now=evening.now)
    first = next_match(evening)
    assert first is not None
    open_match(evening.db, first, now=evening.now)
    evening.vote("early", first, upper_text(evening, first))
    undo_match(evening.db, first, now=evening.now)
    evening.now += 60
    open_match(evening.db, first, now=evening.now)
    pause(evening.db, now=evening.now)
    evening.now += 5
    resume(evening.db, now=evening.now)
    evening.tie(first)
    close_match(evening.db, first, poll_round=0, now=evening.now)
    evening.tie(first)
    close_match(evening.db, first, poll_round=1, now=evening.now)
    while (match := next_match(evening)) is not None:
        evening.decide(match, upper_text(evening, match), voters=5)
    publish(evening.db, now=evening.now)
    return evening


def judge_left(evening: Evening, voter: str) -> None:
    """Judge one pair of the heats."""
    deal(evening.db, secret_of(voter), now=evening.now)
    pair = get_page(evening.db, secret_of(voter)).pair
    assert pair is not None
    evening.now += 10
    judge(evening.db, pair.pair, secret_of(voter), "left", now=evening.now)


def next_match(evening: Evening) -> str | None:
    """The id of the first match that can be opened."""
    match = get_next_match(evening.db, now=evening.now)
    return match.id if match else None


def upper_text(evening: Evening, match_id: str) -> str:
    """The verse of a match's upper side."""
    with evening.db.reading() as session:
        entry = session.get(Entry, session.get_one(Match, match_id).upper_id)
        assert entry is not None
        return entry.text
