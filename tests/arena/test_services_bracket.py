"""The services of the bracket: draw, matches, ties, walkovers and undo, in the database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import case, func, select, update

from arena.errors import (
    AlreadyDone,
    AnotherMatchOpen,
    BadName,
    BadSetting,
    EntriesPending,
    EntryNotFound,
    EventExists,
    MatchDecided,
    MatchNotFound,
    MatchNotOpen,
    MatchNotReady,
    NobodyVoted,
    NothingToUndo,
    TablesDiffer,
    TooManyEntries,
    VotesCast,
    WordMissing,
    WordTaken,
    WrongState,
)
from arena.rules.draw import draw_digest, draw_seeds, draw_tie, salt_digest
from arena.services.bracket import close_due, close_match, open_match, set_match_time, undo_match
from arena.services.disqualification import disqualify, reinstate
from arena.services.drawing import draw_bracket, undo_draw
from arena.services.events import (
    close_submissions,
    create_event,
    current_event,
    open_submissions,
)
from arena.services.log import verify_log
from arena.services.publishing import publish
from arena.services.queries import console_view, entry_view, get_next_match, results_view, snapshot, stage_view
from arena.services.schemas import EventRules, MatchCounts
from arena.services.verification import record_verdict
from arena.services.voting import get_ballot
from arena.store.schema import Entry, Match, Owner, Vote
from arena.verification.check import check_bundle
from tests.support.bundles import verses
from tests.support.evening import SALT, WORD, Evening, secret_of
from tests.support.results import CastVotes, CountedPoll, compute_results


@pytest.fixture
def four(evening: Evening) -> tuple[Evening, list[str], dict[str, str]]:
    """Four verses in a drawn bracket: the evening, ids by seed, texts by id."""
    evening.begin()
    ids = evening.drawn(verses(4))
    return evening, ids, {entry.entry: entry.text for entry in console_view(evening.db, now=evening.now).entries}


Four = tuple[Evening, list[str], dict[str, str]]


def match_of(evening: Evening, match: str) -> Match:
    with evening.db.reading() as session:
        row = session.get(Match, match)
        assert row
        return row


def test_the_draw_follows_from_the_word_and_nothing_else(four: Four) -> None:
    evening, ids, _ = four
    assert ids == draw_seeds(draw_digest(SALT, WORD, ids), ids)
    records = {r["kind"]: r["data"] for r in console_view(evening.db, now=evening.now).recent}
    assert records["submissions-opened"]["draw_salt_digest"] == salt_digest(SALT)
    assert records["bracket-drawn"] == {"draw_salt": SALT, "draw_word": WORD, "entries": ids}
    assert current_event(evening.db).draw_word == WORD


def test_the_draw_needs_a_word_and_keeps_it_until_submissions_open_again(evening: Evening) -> None:
    evening.begin()
    first = evening.enter("ann", verses(3)[0]), evening.enter("bob", verses(3)[1])
    evening.verify_all()
    evening.close()
    for word in (None, "", "   "):
        with pytest.raises((WordMissing, BadName)):
            draw_bracket(evening.db, word=word, now=evening.now)
    draw_bracket(evening.db, word="  the room's own ", now=evening.now)
    undo_draw(evening.db, now=evening.now)
    with pytest.raises(WordTaken, match="the room's own"):
        draw_bracket(evening.db, word="a better one", now=evening.now)
    assert draw_bracket(evening.db, now=evening.now).draw_word == "the room's own"
    undo_draw(evening.db, now=evening.now)
    open_submissions(evening.db, now=evening.now)
    late = evening.enter("eve", verses(3)[2])
    evening.verify_all()
    evening.close()
    assert draw_bracket(evening.db, word="another", now=evening.now).draw_word == "another"
    drawn = {entry.entry for entry in console_view(evening.db, now=evening.now).entries if entry.seed}
    assert drawn == {*first, late}
    commitments = [
        record["data"]["draw_salt_digest"]
        for record in console_view(evening.db, now=evening.now).recent
        if record["kind"] == "submissions-opened"
    ]
    assert len(set(commitments)) == 2, "each opening has a salt of its own"


def test_a_draw_is_taken_back_until_somebody_has_voted(four: Four) -> None:
    evening, ids, texts = four
    open_match(evening.db, "r1m1", now=evening.now)
    assert undo_draw(evening.db, now=evening.now).state == "closed"
    assert snapshot(evening.db, now=evening.now).matches == MatchCounts(closed=0, total=0)
    draw_bracket(evening.db, now=evening.now)
    assert [entry.seed for entry in console_view(evening.db, now=evening.now).entries if entry.entry == ids[0]] == [1]
    open_match(evening.db, "r1m1", now=evening.now)
    evening.vote("voter", "r1m1", texts[ids[0]])
    with pytest.raises(VotesCast):
        undo_draw(evening.db, now=evening.now)


def test_a_match_without_votes_stays_open_until_somebody_decides(four: Four) -> None:
    evening, ids, texts = four
    open_match(evening.db, "r1m1", seconds=5, now=evening.now)
    evening.now += 6
    for _ in range(2):
        assert close_due(evening.db, now=evening.now) == []
        evening.now += 100
    assert (match_of(evening, "r1m1").state, match_of(evening, "r1m1").closes_at) == ("open", None)
    with pytest.raises(NobodyVoted):
        close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    set_match_time(evening.db, "r1m1", poll_round=0, closes_at=evening.now + 30, now=evening.now)
    evening.vote("voter", "r1m1", texts[ids[0]])
    evening.now += 31
    [result] = close_due(evening.db, now=evening.now)
    assert (result.winner, result.decided_by) == (ids[0], "votes")


def test_a_match_without_votes_is_decided_by_lot_only_when_asked(four: Four) -> None:
    evening, ids, texts = four
    open_match(evening.db, "r1m1", now=evening.now)
    result = close_match(evening.db, "r1m1", poll_round=0, by_lot=True, now=evening.now)
    assert (result.state, result.decided_by, result.tallies) == ("closed", "draw", [[0, 0], [0, 0]])
    for match, winner in (("r1m2", 1), ("third", 2)):
        side = match_of(evening, match)
        evening.decide(match, texts[side.upper_id or ids[winner]])
    final = match_of(evening, "r2m1")
    evening.decide("r2m1", texts[final.upper_id or ""])
    assert publish(evening.db, now=evening.now).state == "published", "the recount agrees"


def test_the_time_of_a_match_belongs_to_one_round_of_one_match(four: Four) -> None:
    evening, _, _ = four
    later = evening.now + 60
    for match in ("r1m1", "r1m2"):
        with pytest.raises(MatchNotOpen):
            set_match_time(evening.db, match, poll_round=0, closes_at=later, now=evening.now)
    seen = open_match(evening.db, "r1m1", now=evening.now) and console_view(evening.db, now=evening.now).log_number
    with pytest.raises(MatchNotOpen):
        set_match_time(evening.db, "r1m1", poll_round=1, closes_at=later, now=evening.now)
    for closes_at in (evening.now, evening.now + 86_401):
        with pytest.raises(BadSetting):
            set_match_time(evening.db, "r1m1", poll_round=0, closes_at=closes_at, now=evening.now)
    changed = set_match_time(evening.db, "r1m1", poll_round=0, closes_at=later, seen=seen, now=evening.now)
    assert changed.closes_at == later
    with pytest.raises(AlreadyDone):
        set_match_time(evening.db, "r1m1", poll_round=0, closes_at=later + 60, seen=seen, now=evening.now)


def test_the_draw_waits_for_every_verdict(evening: Evening) -> None:
    evening.begin(EventRules(grace_seconds=60))
    first, second, third = verses(3)
    with pytest.raises(WrongState):
        draw_bracket(evening.db, word=WORD, now=evening.now)
    evening.enter("ann", first)
    evening.verify_all()
    evening.enter("bob", second)
    late = evening.claim("eve", third)
    close_submissions(evening.db, now=evening.now)
    with pytest.raises(EntriesPending) as refused:
        draw_bracket(evening.db, word=WORD, now=evening.now)
    assert refused.value.facts["count"] == 2
    evening.verify_all()
    evening.now += 61  # the tensors of the third never came
    assert draw_bracket(evening.db, word=WORD, now=evening.now).state == "drawn"
    states = {entry.entry: entry.state for entry in console_view(evening.db, now=evening.now).entries}
    assert states[late.entry] == "expired" and sorted(states.values()) == ["expired", "verified", "verified"]


def test_the_organizer_may_draw_without_unverified_entries_and_a_late_verdict_changes_nothing(evening: Evening) -> None:
    evening.begin()
    first, second, third, fourth = verses(4)
    evening.enter("ann", first)
    evening.enter("art", fourth)
    evening.verify_all()
    evening.enter("bob", second)
    evening.claim("eve", third)
    job = evening.lease()
    close_submissions(evening.db, now=evening.now)
    assert draw_bracket(evening.db, word=WORD, without_missing=True, now=evening.now).state == "drawn"
    assert job and not record_verdict(
        evening.db, job, check_bundle(evening.bundles.local_copy(job.bundle).read_bytes()), now=evening.now
    )
    assert console_view(evening.db, now=evening.now).counts["expired"] == 2


def test_more_entries_than_places_are_a_clear_error(evening: Evening) -> None:
    evening.begin()
    evening.enter("ann", verses(1)[0])
    evening.verify_all()
    evening.forged = True
    with evening.db.writing() as session:  # 1,024 more, as if they had entered
        one = session.scalars(select(Entry)).one()
        kept = {c.key: getattr(one, c.key) for c in Entry.__table__.columns}
        for number in range(1_024):
            session.add(Owner(id=f"{number:064x}", created_at=0.0))
        session.flush()
        for number in range(1_024):
            session.add(Entry(**kept | {"id": f"{number:032x}", "owner_id": f"{number:064x}"}))
    close_submissions(evening.db, now=evening.now)
    with pytest.raises(TooManyEntries, match="1,025 verified entries"):
        draw_bracket(evening.db, word=WORD, now=evening.now)
    assert current_event(evening.db).state == "closed"
    with evening.db.writing() as session:
        session.execute(update(Entry).where(Entry.id == f"{0:032x}").values(state="withdrawn"))
    assert draw_bracket(evening.db, word=WORD, now=evening.now).state == "drawn"
    now = snapshot(evening.db, now=evening.now)
    assert now.matches == MatchCounts(closed=0, total=1_024) and now.next == "Round of 1024, match 1"
    assert len(stage_view(evening.db, now=evening.now).rounds) == 10


def test_one_match_is_open_at_a_time_and_only_when_two_verses_are_known(four: Four) -> None:
    evening, _, _ = four
    opened = open_match(evening.db, "r1m1", now=evening.now)
    assert (opened.state, opened.closes_at, opened.votes) == ("open", evening.now + 60, 0)
    assert open_match(evening.db, "r1m1", seconds=5, now=evening.now + 1) == opened
    with pytest.raises(AnotherMatchOpen):
        open_match(evening.db, "r1m2", now=evening.now)
    for unready in ("r2m1", "third"):
        with pytest.raises(AnotherMatchOpen):
            open_match(evening.db, unready, now=evening.now)
    with pytest.raises(MatchNotFound):
        open_match(evening.db, "r7m1", now=evening.now)
    with pytest.raises(MatchNotOpen):
        close_match(evening.db, "r1m2", poll_round=0, now=evening.now)
    undo_match(evening.db, "r1m1", now=evening.now)
    with pytest.raises(MatchNotReady):
        open_match(evening.db, "r2m1", now=evening.now)
    for seconds in (-1, 1e9, float("nan")):
        with pytest.raises(BadSetting):
            open_match(evening.db, "r1m1", seconds=seconds, now=evening.now)
    assert open_match(evening.db, "r1m1", seconds=0, now=evening.now).closes_at is None


def test_a_tie_is_voted_on_again_and_then_drawn_in_public(four: Four) -> None:
    evening, ids, texts = four
    open_match(evening.db, "r1m1", now=evening.now)
    evening.vote("a", "r1m1", texts[ids[0]])
    evening.vote("b", "r1m1", texts[ids[3]])
    first = close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    assert (first.state, first.poll_round, first.winner, first.tallies) == ("open", 1, None, [[1, 1]])
    assert first.closes_at == evening.now + 30
    second = close_match(evening.db, "r1m1", poll_round=1, now=evening.now)
    assert (second.state, second.decided_by, second.tallies) == ("closed", "draw", [[1, 1], [0, 0]])
    assert second.winner == draw_tie(draw_digest(SALT, WORD, ids), "r1m1", ids[0], ids[3])


def test_a_double_tap_on_close_does_not_end_the_re_vote(four: Four) -> None:
    evening, _, _ = four
    open_match(evening.db, "r1m1", now=evening.now)
    evening.tie("r1m1")
    start = threading.Barrier(4)

    def tap(_: int) -> tuple[str, int]:
        start.wait()
        result = close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
        return result.state, result.poll_round

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(tap, range(4))) == {("open", 1)}
    close_match(evening.db, "r1m1", poll_round=1, now=evening.now)
    before = verify_log(evening.db)
    assert close_match(evening.db, "r1m1", poll_round=1, now=evening.now).state == "closed"
    assert verify_log(evening.db) == before


def test_matches_close_when_their_time_is_over(four: Four) -> None:
    evening, ids, texts = four
    open_match(evening.db, "r1m1", seconds=20, now=evening.now)
    evening.vote("a", "r1m1", texts[ids[0]])
    assert close_due(evening.db, now=evening.now + 19.9) == []
    (result,) = close_due(evening.db, now=evening.now + 20)
    assert (result.winner, result.decided_by) == (ids[0], "votes")
    assert close_due(evening.db, now=evening.now + 21) == []


def test_a_bracket_played_to_its_end_has_first_second_and_third_place(four: Four) -> None:
    evening, ids, texts = four
    for match, seed in (("r1m1", 0), ("r1m2", 1), ("third", 3), ("r2m1", 1)):
        result = evening.decide(match, texts[ids[seed]])
    assert result.champion and result.champion.entry == ids[1]
    results = results_view(evening.db, now=evening.now)
    assert [side and side.entry for side in (results.champion, results.second, results.third)] == [
        ids[1],
        ids[0],
        ids[3],
    ]
    assert [match.id for match in results.matches] == ["r2m1", "third", "r1m2", "r1m1"]
    publish(evening.db, now=evening.now)
    for act in (
        lambda: undo_match(evening.db, "r2m1", now=evening.now),
        lambda: disqualify(evening.db, ids[1], "late", now=evening.now),
        lambda: open_match(evening.db, "r2m1", now=evening.now),
    ):
        with pytest.raises(WrongState):
            act()


def test_undoing_a_match_reopens_the_matches_that_followed_it(four: Four) -> None:
    evening, ids, texts = four
    for match, seed in (("r1m1", 0), ("r1m2", 1), ("third", 2), ("r2m1", 0)):
        evening.decide(match, texts[ids[seed]])
    undone = undo_match(evening.db, "r1m2", now=evening.now)
    assert (undone.state, undone.ready, undone.winner) == ("pending", True, None)
    assert current_event(evening.db).state == "drawn"
    assert (match_of(evening, "r2m1").state, match_of(evening, "r2m1").lower_id) == ("pending", None)
    assert snapshot(evening.db, now=evening.now).champion is None
    with pytest.raises(EntryNotFound):
        entry_view(evening.db, ids[0], now=evening.now)

    evening.decide("r1m2", texts[ids[1]])  # the same winner: what followed counts again
    assert current_event(evening.db).state == "champion"
    final = match_of(evening, "r2m1")
    assert (final.winner_id, final.decided_by, final.tallies) == (ids[0], "votes", [[3, 0]])

    undo_match(evening.db, "r1m2", now=evening.now)
    evening.decide("r1m2", texts[ids[2]])  # another winner: what followed is between others now
    final, third = match_of(evening, "r2m1"), match_of(evening, "third")
    assert (final.state, final.upper_id, final.lower_id, final.winner_id) == ("pending", ids[0], ids[2], None)
    assert (third.state, third.upper_id, third.lower_id) == ("pending", ids[3], ids[1])
    evening.decide("third", texts[ids[1]])
    evening.decide("r2m1", texts[ids[2]])
    results = results_view(evening.db, now=evening.now)
    assert results.champion and results.champion.entry == ids[2]
    verify_log(evening.db)


def test_votes_of_an_undone_match_stay_and_do_not_count(four: Four) -> None:
    evening, ids, texts = four
    evening.decide("r1m1", texts[ids[0]], voters=5)
    undo_match(evening.db, "r1m1", now=evening.now)
    open_match(evening.db, "r1m1", now=evening.now)
    evening.vote("voter0", "r1m1", texts[ids[3]])
    result = close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    assert (result.winner, result.tallies) == (ids[3], [[0, 1]])
    with evening.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Vote)) == 6


def test_only_a_vote_can_be_undone(four: Four) -> None:
    evening, ids, _ = four
    with pytest.raises(NothingToUndo):
        undo_match(evening.db, "r1m1", now=evening.now)
    disqualify(evening.db, ids[0], "copied", now=evening.now)
    with pytest.raises(NothingToUndo):
        undo_match(evening.db, "r1m1", now=evening.now)
    with pytest.raises(MatchDecided):
        open_match(evening.db, "r1m1", now=evening.now)


def test_a_disqualified_verse_loses_its_open_match_at_once(four: Four) -> None:
    evening, ids, texts = four
    open_match(evening.db, "r1m1", now=evening.now)
    evening.vote("a", "r1m1", texts[ids[0]])
    for _ in range(2):
        disqualify(evening.db, ids[0], "copied from a book", now=evening.now)
    match = match_of(evening, "r1m1")
    assert (match.state, match.winner_id, match.decided_by) == ("closed", ids[3], "walkover")
    evening.decide("r1m2", texts[ids[1]])
    assert match_of(evening, "third").winner_id == ids[2]
    stage = stage_view(evening.db, now=evening.now)
    upper = stage.rounds[0].matches[0].upper
    assert upper and (upper.mark, upper.name) == ("out", None)
    with pytest.raises(EntryNotFound):
        entry_view(evening.db, ids[0], now=evening.now)
    reinstate(evening.db, ids[0], now=evening.now)
    assert match_of(evening, "r1m1").state == "pending" and match_of(evening, "third").state == "pending"
    assert evening.decide("r1m1", texts[ids[0]]).winner == ids[0]


def test_an_entry_disqualified_before_the_draw_is_not_drawn(evening: Evening) -> None:
    evening.begin()
    first, second, third = verses(3)
    one, two = evening.enter("ann", first), evening.enter("bob", second)
    evening.enter("eve", third)
    evening.verify_all()
    disqualify(evening.db, one, "copied", now=evening.now)
    close_submissions(evening.db, now=evening.now)
    assert draw_bracket(evening.db, word=WORD, now=evening.now).state == "drawn"
    assert snapshot(evening.db, now=evening.now).matches == MatchCounts(closed=0, total=1)
    with pytest.raises(WrongState):
        reinstate(evening.db, one, now=evening.now)
    with pytest.raises(BadName):
        disqualify(evening.db, two, "", now=evening.now)


def test_when_both_sides_are_disqualified_nobody_advances_and_the_event_still_ends(four: Four) -> None:
    evening, ids, _ = four
    for entry in ids[:3]:
        disqualify(evening.db, entry, "copied", now=evening.now)
    assert snapshot(evening.db, now=evening.now).champion == ids[3]
    disqualify(evening.db, ids[3], "copied too", now=evening.now)
    stage = stage_view(evening.db, now=evening.now)
    assert (stage.event.state, stage.champion, stage.third) == ("champion", None, None)


def test_one_database_holds_one_event(evening: Evening) -> None:
    evening.begin()
    with pytest.raises(EventExists):
        create_event(evening.db, name="Another", now=evening.now)


def test_submissions_closed_too_early_can_be_opened_again(evening: Evening) -> None:
    evening.begin()
    close_submissions(evening.db, now=evening.now)
    assert open_submissions(evening.db, now=evening.now).closed_at is None
    evening.enter("ann", verses(1)[0])
    with pytest.raises(WrongState):
        publish(evening.db, now=evening.now)


@pytest.mark.parametrize(
    "rules", [EventRules(lines=0), EventRules(characters=0), EventRules(grace_seconds=-1), EventRules(max_open=0)]
)
def test_rules_under_which_no_event_can_be_run_are_refused(evening: Evening, rules: EventRules) -> None:
    with pytest.raises(BadSetting):
        create_event(evening.db, name="Evening", rules=rules, now=evening.now)


def test_an_event_is_not_published_while_a_match_is_open_and_so_no_clock_takes_it_back(four: Four) -> None:
    evening, ids, texts = four
    evening.decide("r1m1", texts[ids[0]])
    evening.decide("r1m2", texts[ids[1]])
    evening.decide("r2m1", texts[ids[0]])
    open_match(evening.db, "third", seconds=5, now=evening.now)
    evening.tie("third")
    with pytest.raises(AnotherMatchOpen):
        publish(evening.db, now=evening.now)
    evening.now += 6
    close_due(evening.db, now=evening.now)
    evening.now += 60
    close_due(evening.db, now=evening.now)
    assert publish(evening.db, now=evening.now).state == "published"
    close_due(evening.db, now=evening.now)
    assert current_event(evening.db).state == "published"


def test_plain_data_of_votes_gives_the_results_that_the_database_holds(four: Four) -> None:
    evening, ids, texts = four
    evening.decide("r1m1", texts[ids[3]])
    undo_match(evening.db, "r1m1", now=evening.now)
    evening.decide("r1m1", texts[ids[0]])
    open_match(evening.db, "r1m2", now=evening.now)
    evening.vote("voter0", "r1m2", texts[ids[1]])
    evening.vote("voter1", "r1m2", texts[ids[2]])
    evening.now += 1
    close_match(evening.db, "r1m2", poll_round=0, now=evening.now)
    evening.vote("voter0", "r1m2", texts[ids[2]])
    close_match(evening.db, "r1m2", poll_round=1, now=evening.now)
    evening.decide("third", texts[ids[1]])
    evening.decide("r2m1", texts[ids[2]])
    disqualify(evening.db, ids[0], "not their own", now=evening.now)
    with evening.db.reading() as session:
        matches = list(session.scalars(select(Match)))
        votes = [CastVotes(v.match_id, v.poll, v.poll_round, v.choice) for v in session.scalars(select(Vote))]
    polls = [
        CountedPoll(m.id, m.decided_poll, m.decided_upper_id, m.decided_lower_id, len(m.tallies))
        for m in matches
        if m.decided_poll is not None and m.decided_upper_id and m.decided_lower_id and m.tallies
    ]
    results = compute_results(ids, polls, votes, draw_digest=draw_digest(SALT, WORD, ids), disqualified=[ids[0]])
    assert {match.id for match in matches} == set(results.standings)
    for match in matches:
        standing = results.standings[match.id]
        assert (match.upper_id, match.lower_id, match.winner_id, match.decided_by) == (
            standing.upper,
            standing.lower,
            standing.winner,
            standing.decided_by,
        )
        assert match.tallies == [[tally.upper, tally.lower] for tally in results.tallies[match.id]]
    view = results_view(evening.db, now=evening.now)
    assert view.champion and view.champion.entry == results.podium.champion == ids[2]
    assert view.second is None and results.podium.second is None
    assert view.third and view.third.entry == results.podium.third == ids[1]


def test_an_event_is_not_published_if_its_votes_give_another_result(four: Four) -> None:
    evening, ids, texts = four
    for match, winner in (("r1m1", 0), ("r1m2", 1), ("third", 2), ("r2m1", 0)):
        evening.decide(match, texts[ids[winner]])
    turn = (
        update(Vote)
        .where(Vote.match_id == "r2m1")
        .values(choice=case((Vote.choice == "upper", "lower"), else_="upper"))
    )
    with evening.db.writing() as session:
        session.execute(turn)
    with pytest.raises(TablesDiffer) as refused:
        publish(evening.db, now=evening.now)
    assert "match r2m1, first vote, votes: the log gives" in str(refused.value)
    assert current_event(evening.db).state == "champion"
    with evening.db.writing() as session:
        session.execute(turn)
    assert publish(evening.db, now=evening.now).state == "published"


def test_a_vote_that_somebody_changed_after_the_count_is_found_though_the_winner_is_the_same(evening: Evening) -> None:
    evening.forged = True
    evening.begin()
    first, _ = evening.drawn(verses(2))
    texts = {entry.entry: entry.text for entry in console_view(evening.db, now=evening.now).entries}
    evening.decide("r1m1", texts[first], voters=5)
    with evening.db.writing() as session:
        changed = session.scalars(select(Vote).limit(1)).one()
        changed.choice = "lower" if changed.choice == "upper" else "upper"
    with pytest.raises(TablesDiffer):
        publish(evening.db, now=evening.now)


def test_a_final_that_was_opened_and_lost_a_side_has_no_ballot(evening: Evening) -> None:
    """As a phone asks whose page is older than the disqualifications."""
    authors = {author.entry: author.text for author in evening.create().draw(4)}
    for _ in range(3):
        match = get_next_match(evening.db, now=evening.now)
        assert match is not None and match.upper is not None
        if match.id != "r2m1":
            evening.decide(match.id, authors[match.upper.entry])
    open_match(evening.db, "r2m1", seconds=60, now=evening.now)
    first = next(row for row in console_view(evening.db, now=evening.now).matches if row.id == "r1m1")
    assert first.upper is not None and first.lower is not None
    undo_match(evening.db, "r2m1", now=evening.now)
    undo_match(evening.db, "r1m1", now=evening.now)
    for side in (first.upper, first.lower):
        disqualify(evening.db, side.entry, "copied", now=evening.now)
    final = next(row for row in console_view(evening.db, now=evening.now).matches if row.id == "r2m1")
    assert (final.state, final.upper, final.opened_at is not None) == ("closed", None, True)
    with pytest.raises(MatchNotOpen):
        get_ballot(evening.db, "r2m1", secret_of("one"), now=evening.now)
    assert evening.phone().get("/").status_code == 200
