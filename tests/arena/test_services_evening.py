"""A whole event through the services alone, with real bundles, files and votes."""

from __future__ import annotations

import threading

import pytest

from arena.errors import EntriesPending, EntryNotFound, TooFewEntries, WrongState
from arena.services import queries
from arena.services.bracket import close_match, open_match
from arena.services.drawing import draw_bracket
from arena.services.entries import entry_status
from arena.services.events import close_submissions
from arena.services.log import verify_log
from arena.services.publishing import publish
from arena.services.verification import record_verdict
from arena.verification.runner import verify_file
from tests.support.bundles import verses
from tests.support.evening import START, WORD, Evening, secret_of


def test_an_evening_from_the_first_claim_to_the_champion(evening: Evening) -> None:
    evening.begin()
    ids = {f"poet{n}": evening.enter(f"poet{n}", bundle) for n, bundle in enumerate(verses(5))}
    assert queries.snapshot(evening.db, now=evening.now).entries.waiting == 5
    while job := evening.lease():  # as the worker does it: a watched child, limits from the header
        report = verify_file(evening.bundles.local_copy(job.bundle), threading.Event())
        assert record_verdict(evening.db, job, report, now=evening.now)
    assert {entry_status(evening.db, i, secret_of(n), now=evening.now).state for n, i in ids.items()} == {"verified"}
    close_submissions(evening.db, now=evening.now)
    draw_bracket(evening.db, word=WORD, now=evening.now)

    played = []
    while (now := queries.stage_view(evening.db, now=evening.now)).phase == "between":
        assert now.next and now.next.upper and now.next.lower
        match, best = now.next.id, min(now.next.upper, now.next.lower, key=lambda side: side.seed)
        played.append(match)
        opened = open_match(evening.db, match, now=evening.now)
        assert opened.upper and opened.lower and opened.upper.name is None and opened.lower.name is None
        shown = opened.upper if opened.upper.entry == best.entry else opened.lower
        for n in range(4):
            evening.vote(f"phone{n}", match, shown.text or "")
        evening.now += 60
        result = close_match(evening.db, match, poll_round=0, now=evening.now)
        assert (result.state, result.winner, result.decided_by) == ("closed", best.entry, "votes")

    assert played == ["r1m2", "r2m1", "r2m2", "third", "r3m1"]  # five entries: three byes
    results = queries.results_view(evening.db, now=evening.now)
    assert results.champion and results.second and results.third
    assert (results.champion.seed, results.second.seed, results.third.seed) == (1, 2, 3)
    assert all(side.name for match in results.matches for side in (match.upper, match.lower) if side)
    assert queries.entry_view(evening.db, results.champion.entry, now=evening.now).champion
    assert publish(evening.db, now=evening.now).state == "published"
    assert queries.snapshot(evening.db, now=evening.now).champion == results.champion.entry
    assert verify_log(evening.db) == queries.snapshot(evening.db, now=evening.now).version


def test_the_same_bundles_votes_and_word_give_the_same_champion(tmp_path_factory: pytest.TempPathFactory) -> None:
    bundles = verses(4)
    lots = []
    for n in range(2):
        again = Evening(tmp_path_factory.mktemp("again"), now=START + n)
        again.begin()
        lots.append(again.drawn(bundles))
        again.end()
    assert lots[0] == lots[1]


def test_until_its_last_match_is_closed_only_the_owner_knows_an_entry(evening: Evening) -> None:
    evening.begin()
    first, second, third = evening.drawn(verses(3))
    everything = repr((queries.snapshot(evening.db, now=evening.now), queries.stage_view(evening.db, now=evening.now)))
    assert "poet" not in everything
    texts = {entry.entry: entry.text for entry in queries.console_view(evening.db, now=evening.now).entries}
    assert not any(text in everything for text in map(repr, texts.values()))
    for entry in (first, second, third):
        with pytest.raises(EntryNotFound):
            queries.entry_view(evening.db, entry, now=evening.now)
    evening.decide("r1m2", texts[second])
    names = {
        side.entry: side.name
        for match in queries.results_view(evening.db, now=evening.now).matches
        for side in (match.upper, match.lower)
        if side
    }
    assert names[second] is None  # it plays on
    assert names[third] is not None  # third place without a match: that was its last
    with pytest.raises(EntryNotFound):
        queries.entry_view(evening.db, second, now=evening.now)
    assert queries.entry_view(evening.db, third, now=evening.now).text == texts[third]
    evening.decide("r2m1", texts[first])
    stage = queries.stage_view(evening.db, now=evening.now)
    assert stage.champion and stage.champion.entry == first and stage.champion.name
    assert stage.third and stage.third.entry == third


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_verses_are_not_drawn_and_nothing_is_lost(evening: Evening, count: int) -> None:
    evening.begin()
    for number, bundle in enumerate(verses(count)):
        evening.enter(f"poet{number}", bundle)
    evening.verify_all()
    evening.close()
    with pytest.raises(TooFewEntries, match=["no verse is verified", "one verse alone is verified"][count]):
        draw_bracket(evening.db, word=WORD, now=evening.now)
    evening.open()
    for number, bundle in enumerate(verses(3)[1:]):
        evening.enter(f"late{number}", bundle)
    evening.verify_all()
    evening.close_and_draw()
    assert queries.snapshot(evening.db, now=evening.now).entries.verified == 2 + count


@pytest.mark.parametrize("count", [0, 1])
def test_an_event_with_fewer_than_two_verses_can_be_published_without_a_champion(evening: Evening, count: int) -> None:
    evening.begin()
    for bundle in verses(count):
        evening.enter("ann", bundle)
    evening.close()
    if count:
        with pytest.raises(EntriesPending):
            publish(evening.db, now=evening.now)
        evening.verify_all()
    assert publish(evening.db, now=evening.now).state == "published"
    stage = queries.stage_view(evening.db, now=evening.now)
    assert (stage.phase, stage.champion) == ("published", None)


def test_an_event_with_two_verses_is_not_published_before_its_bracket(evening: Evening) -> None:
    evening.begin()
    for number, bundle in enumerate(verses(2)):
        evening.enter(f"poet{number}", bundle)
    evening.verify_all()
    evening.close()
    with pytest.raises(WrongState, match="draw the bracket first"):
        publish(evening.db, now=evening.now)
