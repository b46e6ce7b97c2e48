"""Who may vote: with tickets, with the room's PIN, or everybody."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from arena.errors import (
    AlreadyDone,
    ArenaError,
    BadSetting,
    MatchesBegun,
    NoSpareTicket,
    NoSuchTicket,
    OwnMatch,
    PinNeeded,
    PinWrong,
    QuotaReached,
    TablesDiffer,
    TicketNeeded,
    TicketSpare,
    TicketTooNew,
    TicketUnknown,
    TicketVoid,
    WrongState,
)
from arena.rules.pin import MINUTE, is_pin, pin_at
from arena.rules.voters import voters_digest
from arena.services import bracket, claims, publishing, queries, tickets, voters, voting
from arena.services.coauthors import MAX_COAUTHORS
from arena.services.identity import identity_of
from arena.services.tickets import Card
from arena.services.uploads import take_piece
from arena.store.schema import Base, IssuedVoter, LogRecord, Ticket, Vote
from tests.support.bundles import header_of, verse
from tests.support.evening import START, Evening, secret_of
from trainer.verse import strictjson
from trainer.verse.ticket import new_ticket


@pytest.fixture
def evening(tmp_path: Path) -> Evening:
    return Evening(tmp_path / "event").create()


def with_tickets(evening: Evening, count: int = 4, spare: int = 2) -> list[Card]:
    voters.set_admission(evening.db, "tickets", now=evening.now)
    return tickets.issue(evening.db, count, spare, now=evening.now)


def claim(evening: Evening, number: int, secret: str, *others: str) -> str:
    header = header_of(verse(number))
    return claims.take_claim(
        evening.db,
        evening.bundles,
        evening.spool,
        header,
        secret,
        "Ada",
        authors=others,
        key=evening.key,
        now=evening.now,
    ).entry


def final(evening: Evening) -> None:
    """Two verses in a bracket, and their match open."""
    entered = queries.console_view(evening.db, now=evening.now).counts["verified"]
    evening.open()
    for number in range(entered, 2):
        evening.author(f"Poet {number}", number)
    evening.verify_all()
    evening.close_and_draw()
    bracket.open_match(evening.db, "r1m1", seconds=60, now=evening.now)


def cast(evening: Evening, secret: str, side: str = "left") -> None:
    voting.cast_vote(evening.db, "r1m1", secret, side, 0, now=evening.now)


def votes(evening: Evening) -> int:
    with evening.db.reading() as session:
        return len(session.scalars(select(Vote.id)).all())


def test_a_ticket_votes_once_a_match_and_nothing_else_votes(evening: Evening) -> None:
    evening.open()
    for number in range(2):
        evening.author(f"Poet {number}", number)
    cards = with_tickets(evening)
    tickets.void(evening.db, [2], now=evening.now)
    evening.verify_all()
    evening.close_and_draw()
    bracket.open_match(evening.db, "r1m1", seconds=60, now=evening.now)
    for secret, error in (
        (secret_of("anybody"), TicketNeeded),
        (new_ticket(), TicketUnknown),
        (cards[1].code, TicketVoid),
        (cards[4].code, TicketSpare),
    ):
        assert voting.get_ballot(evening.db, "r1m1", secret, now=evening.now).refusal
        with pytest.raises(error):
            cast(evening, secret)
    for _ in range(3):
        cast(evening, cards[0].code)
    cast(evening, cards[0].code, "right")
    assert voting.get_ballot(evening.db, "r1m1", cards[0].code, now=evening.now).refusal is None
    assert votes(evening) == 1


def test_a_verse_is_entered_with_a_ticket_only_and_not_voted_on_with_it(evening: Evening) -> None:
    cards = with_tickets(evening)
    evening.open()
    for secret, error in (
        (secret_of("Ada"), TicketNeeded),
        (new_ticket(), TicketUnknown),
        (cards[4].code, TicketSpare),
    ):
        with pytest.raises(error):
            claim(evening, 0, secret)
        with pytest.raises(error):
            claims.check_sender(evening.db, secret, now=evening.now)
    assert claim(evening, 0, cards[0].code)
    claims.check_sender(evening.db, cards[0].code, now=evening.now)


def test_several_authors_of_a_verse_do_not_vote_on_it(evening: Evening) -> None:
    evening.open()
    cards = [Card(number, new_ticket(), False) for number in range(1, 4)]
    codes = iter(card.code for card in cards)
    voters.set_admission(evening.db, "tickets", now=evening.now)
    tickets.issue(evening.db, 3, make_code=lambda: next(codes), now=evening.now)
    owner, other, reader = (card.code for card in cards)
    with pytest.raises(TicketUnknown):
        claim(evening, 0, owner, other, new_ticket())
    with pytest.raises(QuotaReached):
        claim(evening, 0, owner, *[new_ticket() for _ in range(MAX_COAUTHORS + 1)])
    entry = claim(evening, 0, owner)
    assert claim(evening, 0, owner, other, owner) == entry, "named later, and the owner is named for nothing"
    assert claim(evening, 0, owner, other) == entry
    records = [record["data"] for record in queries.console_view(evening.db, now=evening.now).recent]
    assert [(record.get("entry"), record.get("count")) for record in records].count((entry, 1)) == 1
    data = verse(0)
    offset = len(header_of(data))
    take_piece(evening.db, evening.bundles, evening.spool, entry, owner, offset, data[offset:], now=evening.now)
    voters.set_admission(evening.db, "open", now=evening.now)
    evening.author("Bea", 1)
    voters.set_admission(evening.db, "tickets", now=evening.now)
    evening.verify_all()
    evening.close_and_draw()
    bracket.open_match(evening.db, "r1m1", seconds=60, now=evening.now)
    for code in (owner, other):
        assert voting.get_ballot(evening.db, "r1m1", code, now=evening.now).mine
        with pytest.raises(OwnMatch):
            cast(evening, code)
    cast(evening, reader)
    assert votes(evening) == 1


def test_nobody_is_named_as_a_further_author_once_the_bracket_is_drawn(evening: Evening) -> None:
    evening.voting(2)
    for state in ("drawn", "champion", "published"):
        before = queries.latest_record(evening.db)
        with pytest.raises(WrongState, match="naming further authors"):
            claim(evening, 0, secret_of("Poet 0"), secret_of("Reader"))
        assert queries.latest_record(evening.db) == before
        assert claim(evening, 0, secret_of("Poet 0")), "the receipt is there again"
        assert queries.snapshot(evening.db, now=evening.now).state == state
        if state == "drawn":
            bracket.close_match(evening.db, "r1m1", poll_round=0, by_lot=True, now=evening.now)
        elif state == "champion":
            publishing.publish(evening.db, now=evening.now)


def test_a_lost_card_is_void_and_the_spare_one_owns_its_verse(
    evening: Evening,
) -> None:
    cards = with_tickets(evening)
    lost, spare = cards[0], cards[4]
    evening.open()
    claim(evening, 0, lost.code)
    evening.now += 1
    assert tickets.replace(evening.db, 1, now=evening.now) == spare.number
    assert claim(evening, 0, spare.code) == claim(evening, 0, spare.code), "it can go on with the upload"
    with pytest.raises(TicketVoid):
        claim(evening, 1, lost.code)
    assert identity_of(spare.code).owner_id != identity_of(lost.code).owner_id
    with evening.db.reading() as session:
        owners = set(session.scalars(text("SELECT DISTINCT owner_id FROM entries")))
    assert owners == {identity_of(lost.code).owner_id}
    with pytest.raises(NoSuchTicket):
        tickets.void(evening.db, [0, 2], now=evening.now)
    with pytest.raises(NoSuchTicket, match="void already"):
        tickets.replace(evening.db, 1, now=evening.now)
    with pytest.raises(NoSuchTicket, match="no spare one"):
        tickets.replace(evening.db, 2, 3, now=evening.now)
    assert tickets.replace(evening.db, 2, 6, now=evening.now) == 6
    with pytest.raises(NoSpareTicket):
        tickets.replace(evening.db, 3, now=evening.now)


def test_a_card_that_replaces_another_during_a_match_adds_no_second_vote(evening: Evening) -> None:
    evening.open()
    for number in range(2):
        evening.author(f"Poet {number}", number)
    cards = with_tickets(evening)
    evening.verify_all()
    evening.close_and_draw()
    bracket.open_match(evening.db, "r1m1", seconds=60, now=evening.now)
    cast(evening, cards[0].code)
    evening.now += 1
    tickets.replace(evening.db, 1, now=evening.now)
    for secret, error in ((cards[0].code, TicketVoid), (cards[4].code, TicketTooNew)):
        with pytest.raises(error):
            cast(evening, secret)
    tickets.activate(evening.db, [6], now=evening.now)
    cast(evening, cards[5].code)  # nobody had that one before
    assert votes(evening) == 2
    bracket.undo_match(evening.db, "r1m1", now=evening.now + 1)
    evening.now += 2
    bracket.open_match(evening.db, "r1m1", seconds=60, now=evening.now)
    cast(evening, cards[4].code)


def test_the_log_commits_to_the_voters_before_the_first_match_and_the_recount_finds_others(evening: Evening) -> None:
    evening.open()
    for number in range(2):
        evening.author(f"Poet {number}", number)
    cards = with_tickets(evening)
    with evening.db.reading() as session:
        [record] = session.scalars(select(LogRecord).where(LogRecord.kind == "tickets-issued"))
    committed = strictjson.parse(record.data.encode())
    assert committed["voters"] == voters_digest(identity_of(card.code).voter_id for card in cards)
    evening.verify_all()
    evening.close_and_draw()
    bracket.open_match(evening.db, "r1m1", seconds=60, now=evening.now)
    with pytest.raises(MatchesBegun):
        tickets.issue(evening.db, 5, now=evening.now)
    cast(evening, cards[0].code)
    evening.now += 1
    bracket.close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    secret = new_ticket()
    ids = {"voter_id": identity_of(secret).voter_id, "batch": 2}
    with evening.db.writing() as session:
        session.execute(insert(IssuedVoter), [ids | {"batch": 1}])
    with pytest.raises(TablesDiffer, match="batch 1"):
        publishing.publish(evening.db, now=evening.now)
    with evening.db.writing() as session:
        session.execute(text("UPDATE issued_voters SET batch = 2 WHERE voter_id = :voter"), {"voter": ids["voter_id"]})
        session.execute(text("UPDATE votes SET voter_id = :voter"), {"voter": ids["voter_id"]})
    with pytest.raises(ArenaError):
        publishing.publish(evening.db, now=evening.now)
    with evening.db.writing() as session:
        session.execute(text("UPDATE votes SET voter_id = :voter"), {"voter": identity_of(cards[0].code).voter_id})
        session.execute(text("DELETE FROM issued_voters WHERE batch = 2"))
    assert publishing.publish(evening.db, now=evening.now).state == "published"


def test_the_database_holds_no_code_and_does_not_say_which_card_is_which_voter(evening: Evening) -> None:
    cards = with_tickets(evening, 30, 0)
    evening.db.dispose()
    stored = b"".join(path.read_bytes() for path in evening.folder.glob("arena.sqlite3*"))
    assert not any(card.code.encode() in stored or card.code.replace("-", "").encode() in stored for card in cards)
    columns = {column.name for column in Base.metadata.tables["tickets"].columns}
    assert not columns & {"voter_id", "code"}
    with evening.db.reading() as session:
        kept = list(session.scalars(text("SELECT voter_id FROM issued_voters ORDER BY rowid")))
        numbers = {identity_of(card.code).voter_id: card.number for card in cards}
    assert kept == sorted(kept) and [numbers[voter] for voter in kept] != sorted(numbers.values())
    with evening.db.reading() as session:
        assert {ticket.id for ticket in session.scalars(select(Ticket))}.isdisjoint(kept)


def test_who_may_vote_is_chosen_before_the_first_match_and_each_choice_is_a_record(evening: Evening) -> None:
    seen = queries.latest_record(evening.db)
    for mode in ("tickets", "pin", "pin", "open"):
        assert voters.set_admission(evening.db, mode, now=evening.now).admission == mode
    kinds = [record["kind"] for record in queries.console_view(evening.db, now=evening.now).recent]
    assert kinds.count("admission-set") == 3
    with pytest.raises(AlreadyDone):
        voters.set_admission(evening.db, "pin", seen=seen, now=evening.now)
    with pytest.raises(BadSetting):
        voters.set_admission(evening.db, "lottery", now=evening.now)
    final(evening)
    with pytest.raises(MatchesBegun):
        voters.set_admission(evening.db, "pin", now=evening.now)
    assert voters.set_admission(evening.db, "open", now=evening.now).admission == "open"


@pytest.mark.parametrize(("count", "spare"), [(0, 0), (10_001, 0), (-1, 5), (5, -1)])
def test_an_event_has_one_to_ten_thousand_tickets(evening: Evening, count: int, spare: int) -> None:
    with pytest.raises(BadSetting):
        tickets.issue(evening.db, count, spare, now=evening.now)
    with pytest.raises(NoSuchTicket):
        tickets.void(evening.db, [7], now=evening.now)


def test_the_pin_of_the_room_is_good_for_two_minutes_and_opens_the_vote(evening: Evening) -> None:
    key = evening.settings.secret_key
    voters.set_admission(evening.db, "pin", now=evening.now)
    final(evening)
    voter = secret_of("Ada")
    with pytest.raises(PinNeeded):
        cast(evening, voter)
    pin, until = voters.room_pin(key, now=evening.now)
    assert len(pin) == 6 and pin.isdigit() and 0 < until - evening.now <= MINUTE
    for wrong in ("", pin[:-1], "x" * 500, pin_at(key, evening.now + 2 * MINUTE), pin_at("other", evening.now)):
        with pytest.raises(PinWrong):
            voters.check_pin(wrong, key, now=evening.now)
    voters.check_pin(f" {pin[:3]} {pin[3:]} ", key, now=evening.now)
    assert is_pin(key, pin, until + MINUTE - 1) and not is_pin(key, pin, until + MINUTE)
    for _ in range(2):
        voters.admit(evening.db, voter, now=evening.now)
    cast(evening, voter)
    assert votes(evening) == 1
    assert len({pin_at(key, START + MINUTE * minute) for minute in range(50)}) > 45
