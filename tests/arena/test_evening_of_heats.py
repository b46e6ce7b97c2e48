"""An evening with heats, small: voters judge pairs while others still enter, the best play, everybody has a place."""

from __future__ import annotations

import random

from arena.rules.timetable import REVEAL_SECONDS
from arena.services.bracket import close_due, close_match
from arena.services.drawing import draw_bracket
from arena.services.heats import close_heats, deal, get_heats, get_page, judge, open_heats
from arena.services.log import verify_log
from arena.services.publishing import publish
from arena.services.queries import console_view, results_view, stage_view
from arena.services.rounds import open_round
from arena.services.voting import get_round
from tests.support.bundles import verses
from tests.support.evening import WORD, Evening, secret_of

ENTRIES, VOTERS, PLACES = 12, 20, 8


def test_an_evening_of_heats_and_rounds_finds_the_verse_that_the_room_prefers(evening: Evening) -> None:
    evening.create()
    play_heats(evening)


def play_heats(evening: Evening) -> None:
    """Play the whole evening in an event that is a draft."""
    rng = random.Random(1)
    evening.open()
    bundles = verses(ENTRIES)
    for number, bundle in enumerate(bundles[:6]):
        evening.enter(f"poet{number}", bundle)
    evening.verify_all()
    open_heats(evening.db, now=evening.now)
    judge_all(evening, rng, 4)
    for number, bundle in enumerate(bundles[6:], start=6):
        evening.enter(f"poet{number}", bundle)
    evening.verify_all()
    judge_all(evening, rng, 12)
    view = get_heats(evening.db)
    assert view.voters == VOTERS and view.most - view.least <= view.most // 3, "late verses catch up"
    evening.close()
    close_heats(evening.db, now=evening.now)
    draw_bracket(evening.db, word=WORD, seeding="heats", places=PLACES, now=evening.now)
    started = evening.now
    while (stage := stage_view(evening.db, now=evening.now)).phase == "between":
        opened = open_round(evening.db, now=evening.now)
        for voter in range(VOTERS):
            for item in get_round(evening.db, secret_of(f"voter{voter}"), now=evening.now):
                match = next(match for match in opened if match.id == item.match)
                assert match.upper and match.lower and match.upper.text and match.lower.text
                evening.vote(f"voter{voter}", item.match, prefer(match.upper.text, match.lower.text, rng))
        evening.now = max(match.closes_at or 0 for match in opened)
        while open_now := stage_view(evening.db, now=evening.now).opened:
            for match in open_now:
                if match.poll_round and match.upper:
                    evening.vote("voter0", match.id, match.upper.text or "")
                    close_match(evening.db, match.id, poll_round=1, now=evening.now)
            close_due(evening.db, now=evening.now)
            evening.now += REVEAL_SECONDS
    assert stage.phase == "champion" and evening.now - started < 600, "eight verses in less than ten minutes"
    results = results_view(evening.db, now=evening.now)
    best = min(entry.text for entry in console_view(evening.db, now=evening.now).entries)
    assert results.champion and results.champion.text == best
    assert len(results.heats) == ENTRIES and all(verse.name for verse in results.heats)
    assert [verse.place for verse in results.heats] == sorted(verse.place for verse in results.heats)
    publish(evening.db, now=evening.now)
    verify_log(evening.db)


def judge_all(evening: Evening, rng: random.Random, pairs: int) -> None:
    """Let every voter judge so many pairs, all at the same time."""
    for _ in range(pairs):
        for voter in range(VOTERS):
            secret = secret_of(f"voter{voter}")
            deal(evening.db, secret, now=evening.now)
            pair = get_page(evening.db, secret).pair
            if pair is not None:
                chosen = prefer(pair.left.text, pair.right.text, rng)
                side = "left" if chosen == pair.left.text else "right"
                judge(evening.db, pair.pair, secret, side, now=evening.now + 10)
        evening.now += 20


def prefer(one: str, other: str, rng: random.Random) -> str:
    """The verse of the two that comes first in the alphabet, four times in five."""
    return min(one, other) if rng.random() < 0.8 else max(one, other)
