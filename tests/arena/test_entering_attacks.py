"""Attacks on entering: raced pieces, promised disk, all places taken, another model later. See tests/THREATS.md."""

from __future__ import annotations

import hashlib
import threading
from collections import namedtuple
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from arena.errors import BadSetting
from arena.scheduler import Scheduler
from arena.services.disqualification import disqualify_all
from arena.services.events import set_rules
from arena.services.queries import console_view
from arena.services.schemas import EventRules
from arena.services.tidying import find_unneeded, remove_unneeded
from arena.services.uploads import clear_leftovers
from arena.store.schema import Entry, Owner
from arena.store.spool import CompletePart, Spool
from tests.arena.test_web_enter import Trainer
from tests.support.bundles import forged_verse, large_verse, undecided_verse, verse, verse_instead, verses
from tests.support.evening import Evening, secret_of

Disk = namedtuple("Disk", "total used free")


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    evening = Evening(tmp_path / "event").begin()
    yield evening
    evening.end()


def trainer(evening: Evening, name: str) -> Trainer:
    return Trainer(evening, secret_of(name))


def flipped(piece: bytes) -> bytes:
    return bytes(byte ^ 1 for byte in piece)


def wrong_bundles(evening: Evening) -> list[str]:
    """Stored bundles that are other than their name says."""
    files = evening.settings.bundles.glob("*.verse")
    return [path.name for path in files if hashlib.sha256(path.read_bytes()).hexdigest() != path.stem]


# D5: pieces raced at one offset


def test_a_piece_that_arrives_while_the_digest_is_computed_changes_no_stored_bundle(
    evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, data, others = trainer(evening, "ann"), verse(1), ThreadPoolExecutor(1)
    claimed = owner.claim(data).json
    piece, complete = data[claimed["offset"] :], Spool.complete

    def race(spool: Spool, *arguments: Any) -> CompletePart:
        part = complete(spool, *arguments)
        other = others.submit(owner.piece, claimed["entry"], claimed["offset"], flipped(piece))
        with pytest.raises(TimeoutError):  # it waits for this one
            other.result(timeout=0.3)
        return part

    monkeypatch.setattr(Spool, "complete", race)
    assert owner.piece(claimed["entry"], claimed["offset"], piece).json["state"] == "waiting"
    others.shutdown()
    assert wrong_bundles(evening) == []


def test_pieces_raced_by_several_clients_leave_every_bundle_what_its_name_says(evening: Evening) -> None:
    with ThreadPoolExecutor(6) as pool:
        for number in range(12):
            owner, data = trainer(evening, f"racer{number}"), verse(number)
            claimed = owner.claim(data).json
            piece, start = data[claimed["offset"] :], threading.Barrier(6)

            def send(
                turn: int,
                owner: Trainer = owner,
                claimed: dict[str, Any] = claimed,
                piece: bytes = piece,
                start: threading.Barrier = start,
            ) -> int:
                start.wait()
                return owner.piece(
                    claimed["entry"], claimed["offset"], flipped(piece) if turn % 3 else piece
                ).status_code

            assert set(pool.map(send, range(6))) <= {200, 409, 422}
            owner.piece(claimed["entry"], claimed["offset"], piece)
            assert owner.status(claimed["entry"]).json["state"] == "waiting"
    assert wrong_bundles(evening) == []
    assert evening.verify_all() == 12 and console_view(evening.db, now=evening.now).counts["verified"] == 12


def test_a_stored_file_with_other_bytes_does_not_refuse_an_honest_owner(evening: Evening) -> None:
    data = verse(1)
    path = evening.bundles.local_copy(hashlib.sha256(data).hexdigest())
    path.write_bytes(data[:-1] + flipped(data[-1:]))
    entry = evening.enter("ann", data)
    evening.verify_all()
    assert trainer(evening, "ann").status(entry).json["state"] == "verified"
    path.write_bytes(data[:-1] + flipped(data[-1:]))  # the disk has lost it since
    owner = trainer(evening, "ann")
    owner.client.delete(f"/api/v1/entries/{entry}", headers=owner.headers)
    again = owner.claim(data).json
    assert (again["state"], again["offset"]) == ("receiving", len(data) - len(data[again["offset"] :]))
    assert owner.piece(entry, again["offset"], data[again["offset"] :]).json["state"] == "verified"
    assert wrong_bundles(evening) == []


def test_an_upload_that_a_restart_interrupts_at_its_last_piece_goes_on(evening: Evening) -> None:
    owner, data = trainer(evening, "ann"), verse(1)
    claimed = owner.claim(data).json
    entry, offset = claimed["entry"], claimed["offset"]
    evening.spool.write(entry, offset, data[offset:])
    evening.spool.complete(entry, offset, len(data))  # and then the process was killed
    clear_leftovers(evening.db, evening.bundles, evening.spool)
    assert owner.piece(entry, offset, data[offset:]).json["state"] == "waiting"
    assert wrong_bundles(evening) == [] and evening.spool.parts() == evening.spool.complete_parts() == []


# D4: the disk


def test_claims_never_promise_more_than_the_disk_has(evening: Evening, monkeypatch: pytest.MonkeyPatch) -> None:
    data = [large_verse(number) for number in range(3)]
    monkeypatch.setattr("shutil.disk_usage", lambda _: Disk(10**9, 0, len(data[0]) + len(data[1])))
    first = trainer(evening, "ann").claim(data[0])
    second, third = trainer(evening, "bob").claim(data[1]), trainer(evening, "eve").claim(data[2])
    assert (first.status_code, second.status_code, third.status_code) == (201, 201, 507)
    assert third.json["error"] == "little-space" and "tell the organizer" in third.json["message"]
    owner = trainer(evening, "ann")
    owner.client.delete(f"/api/v1/entries/{first.json['entry']}", headers=owner.headers)
    assert trainer(evening, "eve").claim(data[2]).status_code == 201


def test_a_piece_is_refused_once_other_programs_have_filled_the_disk(
    evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, data = trainer(evening, "ann"), verse(1)
    claimed = owner.claim(data).json
    with monkeypatch.context() as patched:
        patched.setattr("shutil.disk_usage", lambda _: Disk(10**9, 0, 100))
        answer = owner.piece(claimed["entry"], claimed["offset"], data[claimed["offset"] :])
        assert (answer.status_code, answer.json["error"]) == (507, "little-space")
    answer = owner.piece(claimed["entry"], claimed["offset"], data[claimed["offset"] :])
    assert answer.json["state"] == "waiting"


def test_the_part_of_a_withdrawn_entry_is_gone_within_a_second(evening: Evening) -> None:
    owner, data = trainer(evening, "ann"), large_verse(1)
    claimed = owner.claim(data).json
    entry, offset = claimed["entry"], claimed["offset"]
    owner.piece(entry, offset, data[offset : offset + 2**20])
    scheduler = Scheduler(evening.db, evening.spool, clock=evening.clock)
    scheduler.step()
    assert evening.spool.parts() == [entry], "it is being received"
    owner.client.delete(f"/api/v1/entries/{entry}", headers=owner.headers)
    scheduler.step()
    assert evening.spool.parts() == []
    again = owner.claim(data).json  # and it can be entered again, from the beginning
    scheduler.step()
    assert (again["offset"], evening.enter("ann", data)) == (offset, entry)


def test_tidying_removes_what_nobody_needs_and_keeps_what_an_audit_does(evening: Evening) -> None:
    evening.enter("eve", forged_verse(3))
    evening.enter("poet0", verse(40))  # replaced by the next of its owner
    evening.now += 1
    ids = evening.drawn(verses(2))
    unneeded = {hashlib.sha256(data).hexdigest() for data in (forged_verse(3), verse(40))}
    found = find_unneeded(evening.db, evening.bundles, now=evening.now)
    assert {stored.digest for stored in found} == unneeded
    removed = remove_unneeded(evening.db, evening.bundles, unneeded | {"0" * 64}, now=evening.now)
    assert removed == found and find_unneeded(evening.db, evening.bundles, now=evening.now) == []
    assert len(ids) == 2 and len(evening.bundles.stored()) == 2


# D2: every place taken


def test_no_more_owners_enter_than_the_bracket_has_places(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "small").begin(EventRules(max_entries=3))
    data, start = verses(12), threading.Barrier(12)

    def claim(number: int) -> int:
        start.wait()
        return trainer(evening, f"poet{number}").claim(data[number]).status_code

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(claim, range(12)))
    assert sorted(answers) == [201] * 3 + [429] * 9
    inside = answers.index(201)
    other = trainer(evening, f"poet{inside}").claim(verse(20))  # another verse of an owner needs no other place
    assert other.status_code == 201
    outside = trainer(evening, f"poet{answers.index(429)}")
    refused = outside.claim(data[answers.index(429)])
    assert refused.json["error"] == "quota" and "All 3 places" in refused.json["message"]
    set_rules(evening.db, max_entries=4, now=evening.now)
    assert outside.claim(data[answers.index(429)]).status_code == 201
    evening.end()


def test_an_event_of_default_rules_takes_256_owners_and_none_more_than_a_bracket_holds(evening: Evening) -> None:
    with evening.db.writing() as session:
        for number in range(256):
            owner = f"{number:064x}"
            session.add(Owner(id=owner, created_at=1.0))
            session.flush()
            session.add(
                Entry(
                    id=f"{number:032x}",
                    owner_id=owner,
                    claim_digest=owner,
                    name="bot",
                    state="verified",
                    claimed_at=1.0,
                    size=1,
                    header_bytes=1,
                    received=1,
                    heard_at=1.0,
                    tensors_sha256=owner,
                    text="x",
                    prompt="",
                    facts={},
                    cost=1.0,
                    memory=1,
                )
            )
    owner = trainer(evening, "ann")
    assert owner.claim(verse(1)).status_code == 429
    with pytest.raises(BadSetting, match="1 to 1,024"):
        set_rules(evening.db, max_entries=1_025, now=evening.now)
    disqualify_all(evening.db, [f"{number:032x}" for number in range(256)], "a program", now=evening.now)
    assert owner.claim(verse(1)).status_code == 201


def test_a_claim_that_sends_nothing_gives_its_place_and_its_bytes_back(
    evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_rules(evening.db, max_entries=1, now=evening.now)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Disk(10**9, 0, 4_000_000))
    silent, data = trainer(evening, "eve"), large_verse(1)
    entry = silent.claim(data).json["entry"]
    scheduler = Scheduler(evening.db, evening.spool, clock=evening.clock)
    evening.now += 900
    scheduler.step()
    assert trainer(evening, "ann").claim(large_verse(2)).status_code == 429
    evening.now += 1
    scheduler.step()
    assert silent.status(entry).json["state"] == "expired" and "15 minutes" in silent.status(entry).json["reason"]
    assert evening.spool.parts() == []
    late = trainer(evening, "ann").claim(large_verse(2)).json
    evening.now += 890
    piece = large_verse(2)[late["offset"] : late["offset"] + 1_000]
    trainer(evening, "ann").piece(late["entry"], late["offset"], piece)
    evening.now += 890
    scheduler.step()  # it sends, if slowly
    evening.close()
    evening.now += 890
    scheduler.step()  # and after the closing it has the grace time
    assert trainer(evening, "ann").status(late["entry"]).json["state"] == "receiving"


# D12: another model after the closing


def test_after_the_closing_an_undecided_verse_is_replaced_by_the_same_model_only(evening: Evening) -> None:
    owner = trainer(evening, "ann")
    evening.enter("ann", undecided_verse())
    evening.verify_all()
    evening.close()
    evening.now += 1
    refused = owner.claim(verse(1))
    assert (refused.status_code, refused.json["error"]) == (409, "other-model")
    assert "other weights" in refused.json["message"] and "same checkpoint" in refused.json["message"]
    assert trainer(evening, "bob").claim(verse_instead(1)).json["error"] == "closed"
    assert owner.claim(verse_instead(1)).status_code == 201
