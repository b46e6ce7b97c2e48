"""The heats in the database: pairs dealt fairly, one judgement a pair, the ranking, and the bracket seeded by it."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from sqlalchemy import select, update

from arena.errors import (
    AlreadyDone,
    BadSeeding,
    BadSide,
    EntryNotFound,
    HeatsNotOpen,
    HeatsOpen,
    JudgedTooSoon,
    MatchesBegun,
    NotRanked,
    PairGone,
    TablesDiffer,
    TicketNeeded,
    TicketTooNewForHeats,
    WrongState,
)
from arena.rules.chain import log_salt
from arena.rules.draw import draw_seeds
from arena.rules.heats import MAX_JUDGEMENTS, choose_pair
from arena.services.disqualification import disqualify
from arena.services.drawing import draw_bracket, undo_draw
from arena.services.editing import set_held
from arena.services.entries import entries_of, entry_status, withdraw
from arena.services.events import the_event
from arena.services.heats import close_heats, deal, get_heats, get_page, judge, open_heats
from arena.services.identity import identity_of
from arena.services.judgements import digest_of_judgements
from arena.services.publishing import publish
from arena.services.queries import console_view, entry_view, latest_record, results_view, snapshot
from arena.services.tickets import issue, replace
from arena.services.voters import set_admission
from arena.store.schema import CoAuthor, Judgement, Owner
from tests.support.bundles import verses
from tests.support.evening import WORD, Evening, secret_of


def judge_as(evening: Evening, voter: str, better: list[str], number: int = 1, rng: random.Random | None = None) -> int:
    """Judge so many pairs, for the text that comes first in `better` (or by chance); return how many there were."""
    for done in range(number):
        deal(evening.db, secret_of(voter), now=evening.now)
        pair = get_page(evening.db, secret_of(voter)).pair
        if pair is None:
            return done
        evening.now += 10
        side = "left" if better.index(pair.left.text) < better.index(pair.right.text) else "right"
        if rng is not None and rng.random() < 0.2:
            side = "right" if side == "left" else "left"
        judge(evening.db, pair.pair, secret_of(voter), side, now=evening.now)
    return number


@pytest.fixture
def six(evening: Evening) -> tuple[Evening, dict[str, str]]:
    """Open heats of six verified verses: the evening, and their ids by text."""
    evening.begin()
    for number, bundle in enumerate(verses(6)):
        evening.enter(f"poet{number}", bundle)
    evening.verify_all()
    open_heats(evening.db, now=evening.now)
    return evening, {entry.text: entry.entry for entry in console_view(evening.db, now=evening.now).entries}


Six = tuple[Evening, dict[str, str]]


def judgements_of(evening: Evening) -> list[Judgement]:
    with evening.db.reading() as session:
        return list(session.scalars(select(Judgement).where(Judgement.choice.is_not(None))))


def test_pairs_are_dealt_so_that_each_verse_and_each_pair_comes_about_equally_often(six: Six) -> None:
    evening, ids = six
    for turn in range(3):
        for voter in range(10):
            judge_as(evening, f"voter{voter}", list(ids), 1 + turn % 2)
    rows = judgements_of(evening)
    verses_met = Counter(entry for row in rows for entry in (row.upper_id, row.lower_id))
    pairs_met = Counter((row.upper_id, row.lower_id) for row in rows)
    assert len(rows) == 40 and len(verses_met) == 6 and len(pairs_met) == 15
    assert max(verses_met.values()) - min(verses_met.values()) <= 2
    assert max(pairs_met.values()) - min(pairs_met.values()) <= 2
    view = get_heats(evening.db)
    assert (view.judgements, view.voters, view.least) == (40, 10, min(verses_met.values()))
    counts = snapshot(evening.db, now=evening.now).heats
    assert counts and (counts.judgements, counts.voters) == (40, 10)


def test_a_voter_judges_each_pair_once_and_never_their_own_verse(six: Six) -> None:
    evening, ids = six
    assert judge_as(evening, "poet0", list(ids), 100) == 10, "of the pairs of the five others"
    own = entries_of(evening.db, secret_of("poet0"), now=evening.now)[0].entry
    rows = judgements_of(evening)
    assert len({(row.upper_id, row.lower_id) for row in rows}) == len(rows) == 10
    assert own not in {entry for row in rows for entry in (row.upper_id, row.lower_id)}
    page = get_page(evening.db, secret_of("poet0"))
    assert (page.open, page.judged, page.pair) == (True, 10, None)
    assert judge_as(evening, "anybody", list(ids), 100) == 15


def test_nobody_judges_without_end() -> None:
    everything = dict.fromkeys((f"{number:03}" for number in range(200)), 0)
    judged = {("000", f"{number:03}") for number in range(1, MAX_JUDGEMENTS + 1)}
    assert choose_pair("voter", everything, set(list(judged)[1:]), lambda entry: {})
    assert choose_pair("voter", everything, judged, lambda entry: {}) is None


def test_a_page_shows_the_same_pair_until_it_is_judged_and_a_second_tap_counts_once(six: Six) -> None:
    evening, ids = six
    secret = secret_of("vera")
    assert get_page(evening.db, secret).pair is None, "nothing is dealt by looking"
    deal(evening.db, secret, now=evening.now)
    pair = get_page(evening.db, secret).pair
    assert pair
    deal(evening.db, secret, now=evening.now + 100)
    assert get_page(evening.db, secret).pair == pair
    for wrong, error in ((pair.pair + 1, PairGone), (10**6, PairGone)):
        with pytest.raises(error):
            judge(evening.db, wrong, secret, "left", now=evening.now + 100)
    with pytest.raises(PairGone):
        judge(evening.db, pair.pair, secret_of("mallory"), "left", now=evening.now + 100)
    with pytest.raises(BadSide):
        judge(evening.db, pair.pair, secret, "upper", now=evening.now + 100)
    with pytest.raises(JudgedTooSoon):
        judge(evening.db, pair.pair, secret, "left", now=evening.now + 1)
    judge(evening.db, pair.pair, secret, "left", now=evening.now + 100)
    following = get_page(evening.db, secret).pair
    judge(evening.db, pair.pair, secret, "right", now=evening.now + 200)
    assert following and get_page(evening.db, secret).pair == following
    (row,) = judgements_of(evening)
    chosen = row.upper_id if row.choice == "upper" else row.lower_id
    assert ids[pair.left.text] == chosen, "the first tap counts"


def test_a_verse_that_leaves_is_dealt_no_more_and_a_late_one_is(six: Six) -> None:
    evening, ids = six
    secret = secret_of("vera")
    deal(evening.db, secret, now=evening.now)
    pair = get_page(evening.db, secret).pair
    assert pair
    disqualify(evening.db, ids[pair.left.text], "a known poem", now=evening.now)
    assert get_page(evening.db, secret).pair is None
    with pytest.raises(PairGone):
        judge(evening.db, pair.pair, secret, "left", now=evening.now + 10)
    late = evening.enter("late", verses(7)[6])
    evening.verify_all()
    everything = [entry.text for entry in console_view(evening.db, now=evening.now).entries]
    judge_as(evening, "vera", everything, 6)
    met = {entry for row in judgements_of(evening) for entry in (row.upper_id, row.lower_id)}
    assert late in met and ids[pair.left.text] not in met


def test_the_best_go_on_in_the_order_of_the_heats_and_everybody_has_a_place(six: Six) -> None:
    evening, ids = six
    better = list(ids)
    for voter in range(20):
        judge_as(evening, f"voter{voter}", better, 15)
    evening.close()
    with pytest.raises(HeatsOpen):
        draw_bracket(evening.db, word=WORD, seeding="heats", places=4, now=evening.now)
    seen = latest_record(evening.db)
    view = close_heats(evening.db, seen=seen, now=evening.now)
    assert [ids[verse.text] for verse in view.ranking] == [ids[text] for text in better]
    assert all(verse.low < verse.share < verse.high for verse in view.ranking)
    with pytest.raises(AlreadyDone, match="the heats were closed"):
        open_heats(evening.db, seen=seen, now=evening.now)
    record = console_view(evening.db, now=evening.now).recent[0]
    with evening.db.reading() as session:
        digest = digest_of_judgements(session, log_salt("salt"))
    assert record["kind"] == "heats-closed" and record["data"]["count"] == 300
    assert record["data"]["judgements"] == digest
    assert record["data"]["ranking"] == [[ids[text], place] for place, text in enumerate(better, start=1)]
    draw_bracket(evening.db, word=WORD, seeding="heats", places=4, now=evening.now)
    drawn = console_view(evening.db, now=evening.now)
    assert {entry.text: entry.seed for entry in drawn.entries if entry.seed} == dict(
        zip(better, range(1, 5), strict=False)
    )
    assert drawn.recent[0]["data"]["others"] == [ids[text] for text in better[4:]]
    last = next(entry for entry in drawn.entries if entry.text == better[5])
    status = entry_status(evening.db, last.entry, secret_of(last.name), now=evening.now)
    assert status.heat_place == 6 and "place 6 in the heats" in status.reason
    for match in ("r1m1", "r1m2", "third"):
        opened = next(m for m in console_view(evening.db, now=evening.now).matches if m.id == match)
        assert opened.upper and opened.lower
        evening.decide(match, min(texts := [t for t in better if ids[t] in (opened.upper.entry, opened.lower.entry)],
                                  key=better.index))  # fmt: skip
        assert texts and results_view(evening.db, now=evening.now).heats == [], "who leads stays secret"
    evening.decide("r2m1", better[0])
    results = results_view(evening.db, now=evening.now)
    assert [(verse.place, verse.text) for verse in results.heats] == list(enumerate(better, start=1))
    assert all(verse.name for verse in results.heats)
    assert entry_view(evening.db, last.entry, now=evening.now).heat_place == 6
    publish(evening.db, now=evening.now)


def test_a_verse_held_back_after_the_heats_is_in_no_results(six: Six) -> None:
    evening, ids = six
    close_heats(evening.db, now=evening.now)
    held, *others = ids
    set_held(evening.db, ids[held], True, now=evening.now)
    evening.close()
    draw_bracket(evening.db, word=WORD, seeding="heats", places=2, now=evening.now)
    playing = {entry.entry for entry in console_view(evening.db, now=evening.now).entries if entry.seed}
    evening.decide("r1m1", next(text for text in others if ids[text] in playing))
    assert {verse.text for verse in results_view(evening.db, now=evening.now).heats} == set(others)
    with pytest.raises(EntryNotFound):
        entry_view(evening.db, ids[held], now=evening.now)


def test_a_card_that_replaces_another_judges_unless_the_heats_had_begun(evening: Evening) -> None:
    evening.create()
    set_admission(evening.db, "tickets", now=evening.now)
    cards = [card.code for card in issue(evening.db, 2, 2, now=evening.now)]
    evening.open()
    assert replace(evening.db, 1, now=evening.now) == 3
    evening.now += 1
    open_heats(evening.db, now=evening.now)
    close_heats(evening.db, now=evening.now)
    evening.now += 1
    assert replace(evening.db, 2, now=evening.now) == 4
    open_heats(evening.db, now=evening.now + 1)
    deal(evening.db, cards[2], now=evening.now + 1)
    assert get_page(evening.db, cards[2]).refusal is None
    with pytest.raises(TicketTooNewForHeats, match="after the heats had begun"):
        deal(evening.db, cards[3], now=evening.now + 1)
    assert isinstance(get_page(evening.db, cards[3]).refusal, TicketTooNewForHeats)


def test_equal_verses_are_ordered_by_the_lot(six: Six) -> None:
    evening, ids = six
    evening.close()
    close_heats(evening.db, now=evening.now)
    assert {verse.place for verse in get_heats(evening.db).ranking} == {1}
    draw_bracket(evening.db, word=WORD, seeding="heats", places=4, now=evening.now)
    with evening.db.reading() as session:
        order = draw_seeds(the_event(session).draw_digest, ids.values())
    seeds = {entry.entry: entry.seed for entry in console_view(evening.db, now=evening.now).entries}
    assert [seeds[entry] for entry in order] == [1, 2, 3, 4, None, None]
    undo_draw(evening.db, now=evening.now)
    open_heats(evening.db, now=evening.now)
    assert judge_as(evening, "vera", list(ids), 3) == 3, "after a draw that was taken back the heats go on"


def test_a_verse_without_a_place_in_the_heats_asks_for_another_closing(six: Six) -> None:
    evening, _ = six
    close_heats(evening.db, now=evening.now)
    evening.enter("late", verses(7)[6])
    evening.verify_all()
    evening.close()
    with pytest.raises(NotRanked):
        draw_bracket(evening.db, word=WORD, seeding="heats", now=evening.now)
    open_heats(evening.db, now=evening.now)
    close_heats(evening.db, now=evening.now)
    draw_bracket(evening.db, word=WORD, seeding="heats", now=evening.now)
    assert sum(entry.seed is not None for entry in console_view(evening.db, now=evening.now).entries) == 7


def test_seeds_by_hand_name_each_verified_verse_once(six: Six) -> None:
    evening, ids = six
    close_heats(evening.db, now=evening.now)
    withdrawn, *order = sorted(ids.values())
    name = next(e.name for e in console_view(evening.db, now=evening.now).entries if e.entry == withdrawn)
    withdraw(evening.db, withdrawn, secret_of(name), now=evening.now)
    evening.close()
    for wrong in (order[1:], [*order, order[0]], [*order[1:], withdrawn], [*order, withdrawn]):
        with pytest.raises(BadSeeding):
            draw_bracket(evening.db, word=WORD, seeding=wrong, now=evening.now)
    for seeding in (order, "lot"):
        with pytest.raises(BadSeeding, match="every verified verse plays"):
            draw_bracket(evening.db, word=WORD, seeding=seeding, places=4, now=evening.now)
    draw_bracket(evening.db, word=WORD, seeding=order, now=evening.now)
    seeds = {entry.entry: entry.seed for entry in console_view(evening.db, now=evening.now).entries if entry.seed}
    assert [seeds[entry] for entry in order] == [1, 2, 3, 4, 5]


def test_the_states_of_an_event_allow_heats_before_the_draw_only(evening: Evening) -> None:
    evening.create()
    with pytest.raises(WrongState):
        open_heats(evening.db, now=evening.now)
    evening.open()
    with pytest.raises(HeatsNotOpen):
        close_heats(evening.db, now=evening.now)
    open_heats(evening.db, now=evening.now)
    deal(evening.db, secret_of("vera"), now=evening.now)
    assert get_page(evening.db, secret_of("vera")).pair is None, "there is no verse yet"
    close_heats(evening.db, now=evening.now)
    with pytest.raises(HeatsNotOpen):
        deal(evening.db, secret_of("vera"), now=evening.now)
    for number in range(2):
        evening.author(f"Poet {number}", number)
    evening.verify_all()
    evening.close_and_draw()
    with pytest.raises(WrongState):
        open_heats(evening.db, now=evening.now)


def test_a_judgement_that_somebody_changed_after_the_count_is_found(six: Six) -> None:
    evening, ids = six
    judge_as(evening, "vera", list(ids), 15)
    close_heats(evening.db, now=evening.now)
    evening.close()
    draw_bracket(evening.db, word=WORD, seeding="heats", places=2, now=evening.now)
    evening.decide("r1m1", next(iter(ids)))
    evening.forged = True
    with evening.db.writing() as session:
        voter = identity_of(secret_of("vera")).voter_id
        session.execute(update(Judgement).where(Judgement.voter_id == voter).values(choice="lower"))
    with pytest.raises(TablesDiffer, match="the heats"):
        publish(evening.db, now=evening.now)


def test_who_may_not_vote_may_not_judge_and_a_coauthor_never_judges_the_verse(six: Six) -> None:
    evening, ids = six
    evening.forged = True
    own = next(iter(ids.values()))
    with evening.db.writing() as session:
        other = identity_of(secret_of("vera")).owner_id
        session.add(Owner(id=other, created_at=evening.now))
        session.flush()
        session.add(CoAuthor(entry_id=own, owner_id=other))
    assert judge_as(evening, "vera", list(ids), 100) == 10
    with pytest.raises(MatchesBegun):
        set_admission(evening.db, "pin", now=evening.now)
    with evening.db.writing() as session:
        the_event(session).admission = "tickets"
    with pytest.raises(TicketNeeded):
        deal(evening.db, secret_of("new"), now=evening.now)
    assert isinstance(get_page(evening.db, secret_of("new")).refusal, TicketNeeded)
