"""`arena rehearse`: what it plays, what it finds, and what it refuses."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, text, update

from arena.bootstrap import make_event, open_event
from arena.cli import main
from arena.rehearsal import rehearse
from arena.rehearsal.browser import Page, secret_in, state_key
from arena.rehearsal.connection import Address
from arena.rehearsal.ledger import Attempt, Ballot, Claimed, Ledger, possible_labels
from arena.rehearsal.measurements import Measurements
from arena.rehearsal.promises import Known, compare
from arena.rehearsal.verses import make_bundle
from arena.services.identity import identity_of
from arena.services.queries import get_open_match, snapshot
from arena.services.schemas import to_json
from arena.store.schema import Entry, LogRecord, Vote
from arena.verification.check import check_bundle
from arena.web.cookies import serializer
from arena.web.public import phase_key
from tests.support.evening import Evening, secret_of


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    evening = Evening(tmp_path / "event").create()
    yield evening
    evening.end()


@pytest.mark.slow
def test_a_whole_evening_is_rehearsed_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["rehearse", "--phones", "50", "--entries", "2", "--seconds", "1"])
    assert done.exit_code == 0, done.output
    assert "the verification process was killed" in done.output
    assert "2 of 2 verses are verified" in done.output
    found = re.search(r"votes +(\d+) confirmed, (\d+) of them counted as confirmed", done.output)
    assert found and found[1] == found[2] and int(found[1]) > 25
    assert "Every promise was kept" in done.output
    assert list((tmp_path / "submissions").iterdir()) == [], "nothing is left behind"


@pytest.mark.slow
def test_a_rehearsal_event_is_played_once_at_its_address_which_may_have_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "event"
    made = ["init", "--dir", str(folder), "--rehearsal", "--reading-seconds", "0"]
    made += ["--public-url", "https://verses.example.org/e/rehearsal"]
    assert CliRunner().invoke(main, made).exit_code == 0
    served = Evening(folder, now=None)
    served.serve()
    try:
        words = ["rehearse", "--to", served.url, "--dir", str(folder)]
        done = CliRunner().invoke(main, [*words, "--phones", "10", "--entries", "2", "--seconds", "1"])
        assert (done.exit_code, "Every promise was kept" in done.output) == (0, True), done.output
        again = CliRunner().invoke(main, words)
        assert (again.exit_code, "was rehearsed already" in again.output) == (1, True), again.output
    finally:
        served.end()


def test_a_real_event_is_never_rehearsed_on(tmp_path: Path) -> None:
    settings = make_event(tmp_path / "event", name="Real", now=time.time())
    before = {path.name: path.read_bytes() for path in settings.dir.iterdir() if path.is_file()}
    done = CliRunner().invoke(main, ["rehearse", "--to", "http://127.0.0.1:8000", "--dir", str(settings.dir)])
    assert (done.exit_code, "holds a real event" in done.output) == (1, True), done.output
    assert {path.name: path.read_bytes() for path in settings.dir.iterdir() if path.is_file()} == before


def test_an_address_that_another_event_answers_is_refused(tmp_path: Path) -> None:
    settings = make_event(tmp_path / "event", name="Rehearsal", rehearsal=True, now=time.time())
    event = open_event(settings)
    try:
        with pytest.raises(rehearse.RehearsalRefused, match="does not answer at 127"):
            rehearse.check_rehearsal_event(event, Address.parse("http://127.0.0.1:9"))
    finally:
        event.close()


def test_more_phones_than_the_system_opens_files_are_refused_with_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearse, "raise_descriptor_limit", lambda: 1_100)
    rehearse.check_descriptors(999)
    with pytest.raises(rehearse.RehearsalRefused, match="--phones 1000"):
        rehearse.check_descriptors(1_001)


def test_a_vote_that_is_lost_changed_or_invented_is_found(evening: Evening) -> None:
    evening.voting()
    ballot, ledger = Ballot("r1m1", 0, 0), Ledger()
    for number in range(4):
        page = Page.read(evening.phone().get("/").text)
        voter = identity_of(secret_of(f"voter{number}")).voter_id
        assert (page.ballot, set(page.buttons)) == (ballot, {"A", "B"})
        attempt = ledger.attempt(ballot, voter, "A", float(number))
        attempt.ended, attempt.acknowledged = number + 0.5, True
    match = get_open_match(evening.db, now=evening.now)
    assert match is not None and match.upper is not None
    for number in range(4):
        evening.vote(f"voter{number}", "r1m1", match.upper.text or "")
    known = Known.of(ledger)
    kept = compare(evening.event, known)
    assert (kept.broken, kept.votes, kept.counted) == ([], 4, 4)
    voters = [identity_of(secret_of(f"voter{number}")).voter_id for number in range(4)]
    with evening.db.writing() as session:
        session.execute(delete(Vote).where(Vote.voter_id == voters[0]))
        session.execute(update(Vote).where(Vote.voter_id == voters[1]).values(choice="lower"))
        session.execute(update(Vote).where(Vote.voter_id == voters[2]).values(voter_id="0" * 64))
    broken = compare(evening.event, known).broken
    assert len(broken) == 4, broken
    assert sum("the database has none" in line for line in broken) == 2
    assert sum("the database has B" in line for line in broken) == 1
    assert sum("nobody sent the vote" in line for line in broken) == 1


def test_an_entry_a_bundle_or_a_log_that_is_not_whole_is_found(evening: Evening) -> None:
    authors = evening.authors(3)
    entries = [Claimed(author.entry, author.secret, author.name, complete=True) for author in authors]
    known = Known({}, [*entries, Claimed("0" * 32, "", "Nobody", complete=False)])
    assert compare(evening.event, known).broken == ["entry 00000000 was acknowledged, and is not there"]
    with evening.db.reading() as session:
        digest = session.get_one(Entry, authors[0].entry).bundle
    path = evening.bundles.local_copy(digest or "")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with evening.db.writing() as session:
        session.execute(update(Entry).where(Entry.id == authors[1].entry).values(received=100))
        session.execute(text("DROP TRIGGER log_no_update"))
        session.execute(update(LogRecord).where(LogRecord.number == 2).values(kind="other"))
    broken = compare(evening.event, Known({}, entries)).broken
    assert [line.split()[0] for line in broken] == ["all", "bundle", "the"], broken


def test_votes_that_overlap_may_count_in_either_order() -> None:
    def attempt(label: str, sent: float, ended: float | None = None, acknowledged: bool = True) -> Attempt:
        return Attempt(label, sent, *([ended] if ended is not None else []), acknowledged=acknowledged)

    assert possible_labels([attempt("A", 0, 1), attempt("B", 2, 3)]) == {"B"}
    assert possible_labels([attempt("A", 0, 2), attempt("B", 1, 3)]) == {"A", "B"}
    lost = Attempt("B", 2)  # no answer: it may count at any time
    assert possible_labels([attempt("A", 0, 1), lost]) == {"A", "B"}
    assert possible_labels([lost]) == {"B", None}


def test_a_phone_reads_state_and_cookie_as_pages_write_them(evening: Evening) -> None:
    for move in (lambda: None, evening.voting):
        move()
        state = snapshot(evening.db, now=evening.now)
        shown = Page.read(evening.phone().get("/").text)
        assert state_key(to_json(state)) == phase_key(state) == shown.key
    secret = secret_of("ann")
    assert secret_in(str(serializer(evening.settings, "voter").dumps(secret))) == secret


def test_bundles_of_a_rehearsal_are_verified_and_differ() -> None:
    bundles = [make_bundle(number) for number in range(3)]
    assert len(set(bundles)) == 3
    assert {check_bundle(bundle).verdict for bundle in bundles} == {"PASS"}


def test_a_large_bundle_of_a_rehearsal_is_as_large_as_one_of_half_an_hour() -> None:
    assert 20e6 < len(make_bundle(0, large=True)) < 22e6


def test_what_went_wrong_is_listed_by_its_first_time() -> None:
    measurements = Measurements()
    for _ in range(30):
        measurements.answered("polls", measurements.now() - 0.5, 200)
    measurements.failed("votes", "the connection was closed")
    measurements.failed("votes", "the connection was closed")
    measurements.answered("votes", measurements.now(), 503, {"retry-after": "1"})
    measurements.answered("votes", measurements.now(), 503, {})
    first = [trouble.what for trouble in measurements.troubles()]
    assert sorted(what.split(":")[0] for what in first) == ["polls", "votes", "votes", "votes"]
    assert measurements.broken == ["votes: answer 503"]
