"""Pages and API of entries: claims, pieces, the upload form, the owner's page and the link of a receipt."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from arena.services import claims, events
from arena.services.queries import console_view
from arena.services.receipts import public_key_of
from tests.support.bundle_parts import edit_claim
from tests.support.bundles import header_of, verse
from tests.support.evening import START, Evening
from tests.support.pages import post, token_of
from trainer.signatures import is_signed_receipt
from trainer.verse.identity import new_secret

MIB = 2**20


@pytest.fixture
def evening(tmp_path: Path) -> Evening:
    made = Evening(tmp_path / "event").create()
    events.open_submissions(made.db, closes_at=START + 600, now=made.now)
    return made


class Trainer:
    """What `trainer submit` sends."""

    def __init__(self, evening: Evening, secret: str | None = None) -> None:
        self.client: FlaskClient = evening.phone()
        self.secret = secret or new_secret()
        self.headers = {"Authorization": f"Bearer {self.secret}"}

    def claim(self, data: bytes, name: str = "Ada") -> TestResponse:
        return self.send(header_of(data), name)

    def send(self, header: bytes, name: str = "Ada") -> TestResponse:
        return self.client.post("/api/v1/entries", query_string={"name": name}, data=header, headers=self.headers)

    def piece(self, entry: str, offset: Any, data: bytes) -> TestResponse:
        headers = self.headers | {"Upload-Offset": str(offset)}
        return self.client.patch(f"/api/v1/entries/{entry}", data=data, headers=headers)

    def status(self, entry: str) -> TestResponse:
        return self.client.get(f"/api/v1/entries/{entry}", headers=self.headers)


def test_a_claim_has_a_receipt_that_anybody_can_check(evening: Evening) -> None:
    trainer, data = Trainer(evening), verse(10)
    answer = trainer.claim(data)
    claimed = answer.json
    assert (answer.status_code, claimed["offset"], claimed["size"]) == (201, len(header_of(data)), len(data))
    receipt = dict(claimed["receipt"])
    signature = receipt.pop("signature")
    public = public_key_of(evening.settings.receipt_key)
    assert receipt["received"] == START and is_signed_receipt(public, {**receipt, "signature": signature})
    assert not is_signed_receipt(public, {**receipt, "received": START + 1, "signature": signature})
    assert claimed["link"] == f"{evening.settings.base_url}/mine/{trainer.secret}"


def test_a_bundle_in_pieces_is_cut_off_resumed_and_whole(evening: Evening) -> None:
    trainer, data = Trainer(evening), verse(10)
    claimed = trainer.claim(data).json
    entry, offset = claimed["entry"], claimed["offset"]
    half = offset + (len(data) - offset) // 2
    first = trainer.piece(entry, offset, data[offset:half])
    assert first.json == {"offset": half, "state": "receiving"}
    lost = trainer.piece(entry, offset, data[offset:half])  # the answer got lost, and the trainer sends it again
    assert (lost.status_code, lost.json["error"], lost.json["offset"]) == (409, "wrong-offset", half)
    again = trainer.claim(data)
    assert (again.status_code, again.json["offset"]) == (200, half)
    last = trainer.piece(entry, half, data[half:])
    assert last.json == {"offset": len(data), "state": "waiting"}
    assert trainer.status(entry).json["place"] == 1
    evening.verify_all()
    assert trainer.status(entry).json["state"] == "verified"


def test_the_same_bundle_again_is_the_same_entry(evening: Evening) -> None:
    trainer, data = Trainer(evening), verse(10)
    first, second = trainer.claim(data), trainer.claim(data)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json["entry"] == second.json["entry"] and first.json["receipt"] == second.json["receipt"]


def test_bad_requests_get_a_clear_answer(evening: Evening) -> None:
    trainer, data = Trainer(evening), verse(10)
    entry, offset = (trainer.claim(data).json[key] for key in ("entry", "offset"))
    stranger = Trainer(evening)
    nobody = Trainer(evening, "short")
    cases = [
        (trainer.send(b"To be, or not to be: that is the question."), 422),
        (trainer.send(header_of(data)[:100] + b"x"), 422),
        (trainer.claim(edit_claim(data, lambda claim: claim["verse"].update(text="other"))), 422),
        (trainer.claim(data, name=""), 422),
        (trainer.claim(data, name="x" * 500), 422),
        (nobody.claim(data), 401),
        (stranger.piece(entry, offset, b"x"), 404),
        (stranger.status(entry), 404),
        (trainer.status("no-such-entry"), 404),
        (trainer.piece(entry, "x", b"x"), 400),
        (trainer.piece(entry, -1, b"x"), 400),
        (trainer.piece(entry, offset, b"\0" * (MIB + 1)), 413),
        (trainer.client.post("/api/v1/entries?name=A", data=b"\0" * (MIB + 9), headers=trainer.headers), 413),
        (trainer.piece(entry, offset, data[offset:] + b"more than announced"), 413),
    ]
    for number, (answer, status) in enumerate(cases):
        assert (number, answer.status_code) == (number, status), answer.text
        assert answer.json["error"] and answer.json["message"].endswith("."), number
        assert trainer.secret not in answer.text
    assert trainer.status(entry).json["received"] == offset


def test_wrong_weights_are_found_and_can_be_sent_again(evening: Evening) -> None:
    trainer, data = Trainer(evening), verse(10)
    claimed = trainer.claim(data).json
    entry, offset = claimed["entry"], claimed["offset"]
    wrong = bytearray(data[offset:])
    wrong[5] ^= 1
    answer = trainer.piece(entry, offset, bytes(wrong))
    assert answer.status_code == 422 and answer.json["offset"] == offset
    assert trainer.piece(entry, offset, data[offset:]).json["state"] == "waiting"


def test_after_closing_no_claim_is_taken_and_tensors_may_follow(evening: Evening) -> None:
    trainer, data = Trainer(evening), verse(10)
    claimed = trainer.claim(data).json
    evening.now = START + 601
    late = Trainer(evening).claim(verse(11))
    assert late.status_code == 409 and late.json["error"] == "closed"
    assert trainer.piece(claimed["entry"], claimed["offset"], data[claimed["offset"] :]).json["state"] == "waiting"
    assert "Submissions are closed" in evening.phone().get("/enter").text


def test_an_entry_is_withdrawn_by_its_owner_only(evening: Evening) -> None:
    trainer, data = Trainer(evening), verse(10)
    entry = trainer.claim(data).json["entry"]
    assert (
        Trainer(evening).client.delete(f"/api/v1/entries/{entry}", headers=Trainer(evening).headers).status_code == 404
    )
    assert trainer.client.delete(f"/api/v1/entries/{entry}", headers=trainer.headers).json["state"] == "withdrawn"


def send(client: FlaskClient, data: bytes | None, name: str = "Ada", filename: str = "poem.verse") -> TestResponse:
    fields: dict[str, Any] = {"token": token_of(client.get("/enter")), "name": name}
    if data is not None:
        fields["bundle"] = (io.BytesIO(data), filename)
    return client.post("/enter", data=fields, content_type="multipart/form-data")


def test_the_plain_form_takes_a_whole_bundle_and_leaves_no_copy(evening: Evening) -> None:
    phone = evening.phone()
    answer = send(phone, verse(10))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/mine")
    page = phone.get("/mine")
    assert "Waiting to be checked" in page.text and "Place in the queue: 1" in page.text and "Ada" in page.text
    evening.verify_all()
    page = phone.get("/mine")
    assert "Verified: it takes part" in page.text and "refresh" not in page.text
    assert [path.name for path in evening.settings.incoming.iterdir() if path.name.startswith("form-")] == []


def test_the_plain_form_refuses_what_is_no_bundle(evening: Evening) -> None:
    data = verse(10)
    cases = [
        (None, 422),
        (b"", 422),
        (b"To be, or not to be: that is the question.", 422),
        (data[:-10], 422),
        (data + b"more", 422),
    ]
    for content, status in cases:
        answer = send(evening.phone(), content, filename="../../../etc/passwd")
        assert answer.status_code == status, (content or b"")[:20]
        assert "<h1>" in answer.text
    assert [path.name for path in evening.settings.incoming.iterdir() if path.name.startswith("form-")] == []
    assert list(evening.settings.dir.parent.rglob("passwd")) == []


def test_a_refused_verse_says_why_in_plain_words(evening: Evening) -> None:
    def another_seed(claim: dict[str, Any]) -> None:
        claim["recipe"]["seed"] = 99

    phone = evening.phone()
    assert send(phone, edit_claim(verse(10), another_seed)).status_code == 303
    evening.verify_all()
    page = phone.get("/mine")
    assert (
        "Not accepted" in page.text
        and "The server wrote another verse" in page.text
        and "Enter another verse" in page.text
    )


def test_an_entry_on_its_way_refreshes_its_page(evening: Evening) -> None:
    phone = evening.phone()
    send(phone, verse(10))
    assert '<meta http-equiv="refresh"' in phone.get("/mine").text
    assert 'data-every="4"' in phone.get("/mine").text


def test_the_owners_page_asks_before_it_withdraws_an_entry(evening: Evening) -> None:
    phone = evening.phone()
    send(phone, verse(10))
    page = phone.get("/mine")
    assert "Yes, withdraw this verse" in page.text
    entry = page.text.split('name="entry" value="')[1].split('"')[0]
    stranger = evening.phone()
    assert post(stranger, "/enter", "/mine/withdraw", entry=entry).status_code == 404
    assert post(phone, "/enter", "/mine/withdraw", entry=entry).status_code == 303
    assert "Withdrawn" in phone.get("/mine").text


def test_the_receipts_link_makes_a_phone_the_owner_only_after_confirmation(evening: Evening) -> None:
    trainer = Trainer(evening)
    link = trainer.claim(verse(10), name="Ada Fenwick").json["link"].removeprefix(evening.settings.base_url)
    phone = evening.phone()
    phone.get("/")
    question = phone.get(link)
    assert "Is this verse yours?" in question.text and "Ada Fenwick" in question.text
    assert question.headers["Referrer-Policy"] == "no-referrer" and question.headers["Cache-Control"] == "no-store"
    assert "no verse" in phone.get("/mine").text
    answer = phone.post("/mine/link", data={"token": token_of(question), "secret": trainer.secret})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/mine")
    assert "Ada Fenwick" in phone.get("/mine").text
    assert "This phone is linked to your verse" in phone.get(link).text


def test_a_link_to_no_entry_makes_a_phone_no_owner(evening: Evening) -> None:
    phone = evening.phone()
    before = phone.get("/").headers["Set-Cookie"]
    assert before
    for secret, status in ((new_secret(), 404), ("short", 401), ("x" * 200, 401)):
        assert phone.get(f"/mine/{secret}").status_code == status
        answer = post(phone, "/enter", "/mine/link", secret=secret)
        assert answer.status_code == status and "Set-Cookie" not in answer.headers


def test_a_page_with_javascript_sends_pieces_with_its_cookie(evening: Evening) -> None:
    phone, data = evening.phone(), verse(10)
    headers = {"X-Form-Token": token_of(phone.get("/enter"))}
    claimed = phone.post("/api/v1/entries?name=Ada", data=header_of(data), headers=headers).json
    offset = claimed["offset"]
    answer = phone.patch(
        f"/api/v1/entries/{claimed['entry']}", data=data[offset:], headers=headers | {"Upload-Offset": str(offset)}
    )
    assert answer.json["state"] == "waiting"
    assert "Waiting to be checked" in phone.get("/mine").text


def test_three_hundred_new_names_and_withdrawals_are_a_hundred_records(evening: Evening) -> None:
    trainer, data = Trainer(evening), verse(10)
    entry = trainer.claim(data).json["entry"]
    before = console_view(evening.db, now=evening.now).log_number
    statuses = [trainer.claim(data, f"Ada {number}").status_code for number in range(150)]
    for _ in range(150):
        gone = trainer.client.delete(f"/api/v1/entries/{entry}", headers=trainer.headers)
        statuses += [gone.status_code, trainer.claim(data, "Ada").status_code]
    assert statuses[:99] == [200] * 99 and set(statuses[99:]) == {429}
    view = console_view(evening.db, now=evening.now)
    assert view.log_number == before + 99
    assert view.entries[0].name == "Ada 98", "the last name that was confirmed is kept"
    refused = trainer.claim(data, "Eve").json
    assert refused["error"] == "quota" and "changed your entries 100 times" in refused["message"]
    assert trainer.claim(data, "Ada 98").status_code == 200, "the same claim again changes nothing, and is confirmed"


def test_wrong_weights_sent_again_and_again_leave_no_record(evening: Evening) -> None:
    trainer, data = Trainer(evening), verse(10)
    claimed = trainer.claim(data).json
    before = console_view(evening.db, now=evening.now).log_number
    wrong = bytes(len(data) - claimed["offset"])
    for _ in range(30):
        assert trainer.piece(claimed["entry"], claimed["offset"], wrong).json["error"] == "tensors-differ"
    assert console_view(evening.db, now=evening.now).log_number == before


def test_a_claim_that_cannot_enter_is_refused_before_it_is_read(
    evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    parse = claims.parse_claim
    monkeypatch.setattr(claims, "parse_claim", lambda header: read.append(len(header)) or parse(header))
    trainer = Trainer(evening)
    assert [trainer.claim(verse(number)).status_code for number in range(10, 14)] == [201, 201, 201, 429]
    assert len(read) == 3, "the fourth has no place, whatever it holds"
    assert trainer.claim(verse(10)).status_code == 200
    assert len(read) == 3, "the same claim was read before"
    events.close_submissions(evening.db, now=evening.now)
    assert Trainer(evening).claim(verse(14)).status_code == 409
    assert len(read) == 3
