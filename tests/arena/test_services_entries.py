"""The services of entries: claims, pieces, quotas, closing times, and what an owner may do."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import update

from arena.errors import (
    BadClaim,
    BadName,
    BadSecret,
    BytesLost,
    EntryNotFound,
    LittleSpace,
    NotReceiving,
    OtherName,
    OverLimits,
    PieceTooLarge,
    QuotaReached,
    SubmissionsClosed,
    SubmissionsNotOpen,
    TensorsDiffer,
    WrongOffset,
    WrongState,
)
from arena.services.bracket import close_due
from arena.services.claims import take_claim
from arena.services.drawing import draw_bracket
from arena.services.entries import entries_of, entry_status, expire_claims, withdraw
from arena.services.events import close_submissions, create_event, open_submissions, set_closing_time
from arena.services.identity import identity_of
from arena.services.log import verify_log
from arena.services.queries import console_view
from arena.services.receipts import public_key_of
from arena.services.schemas import EventRules
from arena.services.uploads import PIECE_BYTES, drop_parts, take_file, take_piece
from arena.store.schema import Event
from tests.support.bundle_parts import edit_claim
from tests.support.bundles import RECIPE, Poet, forged_verse, header_of, undecided_verse, verse_instead, verses
from tests.support.evening import WORD, Evening, secret_of
from trainer.signatures import is_signed_receipt
from trainer.verse.claim import parse_claim
from trainer.verse.identity import is_secret, new_secret


@pytest.fixture
def bundle() -> bytes:
    return verses(1)[0]


def status(evening: Evening, name: str, entry: str) -> str:
    return entry_status(evening.db, entry, secret_of(name), now=evening.now).state


def test_a_claim_gets_a_receipt_that_anybody_can_check(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    receipt = evening.claim("ann", bundle)
    header = header_of(bundle)
    assert receipt.fields() == {
        "entry": receipt.entry,
        "claim": hashlib.sha256(header).hexdigest(),
        "received": evening.now,
    }
    assert (receipt.offset, receipt.size, receipt.state, receipt.repeated) == (
        len(header),
        len(bundle),
        "receiving",
        False,
    )
    public = public_key_of(evening.settings.receipt_key)
    assert is_signed_receipt(public, {**receipt.fields(), "signature": receipt.signature})
    assert not is_signed_receipt(
        public, {**receipt.fields(), "received": evening.now - 1, "signature": receipt.signature}
    )
    assert not is_signed_receipt(public, {**receipt.fields(), "signature": "00"})


def test_repeating_a_claim_returns_the_same_receipt_and_the_offset_to_resume_at(
    evening: Evening, bundle: bytes
) -> None:
    evening.begin()
    first = evening.claim("ann", bundle)
    evening.piece("ann", first.entry, first.offset, bundle[first.offset : first.offset + 1000])
    evening.now += 5
    again = evening.claim("ann", bundle)
    assert again == replace(first, repeated=True, offset=first.offset + 1000)
    assert len(entries_of(evening.db, secret_of("ann"), now=evening.now)) == 1


def test_a_bundle_sent_in_pieces_reaches_the_queue_byte_for_byte(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    entry = evening.enter("ann", bundle)
    now = entry_status(evening.db, entry, secret_of("ann"), now=evening.now)
    assert (now.state, now.place, now.received, now.size) == ("waiting", 1, len(bundle), len(bundle))
    assert evening.bundles.local_copy(hashlib.sha256(bundle).hexdigest()).read_bytes() == bundle
    assert evening.spool.parts() == []


def test_a_piece_at_the_wrong_offset_is_refused_with_the_right_offset(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    receipt = evening.claim("ann", bundle)
    for offset in (0, receipt.offset - 1, receipt.offset + 1, len(bundle)):
        with pytest.raises(WrongOffset) as refused:
            evening.piece("ann", receipt.entry, offset, b"x")
        assert refused.value.expected == receipt.offset and refused.value.facts == {"offset": receipt.offset}
    evening.piece("ann", receipt.entry, receipt.offset, bundle[receipt.offset : receipt.offset + 10])
    with pytest.raises(WrongOffset) as repeated:
        evening.piece("ann", receipt.entry, receipt.offset, bundle[receipt.offset : receipt.offset + 10])
    assert repeated.value.expected == receipt.offset + 10


def test_a_piece_sent_twice_at_once_is_stored_once(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    receipt = evening.claim("ann", bundle)
    offset, step, start = receipt.offset, 9_000, threading.Barrier(4)

    def send(at: int, data: bytes) -> str:
        start.wait()
        try:
            return evening.piece("ann", receipt.entry, at, data).state
        except (WrongOffset, NotReceiving) as refused:
            return refused.code

    with ThreadPoolExecutor(4) as pool:
        while offset < receipt.size:
            piece = bundle[offset : offset + step]
            answers = list(pool.map(send, [offset] * 4, [piece] * 4))
            assert set(answers) <= {"receiving", "waiting", "wrong-offset", "not-receiving"}
            offset += len(piece)
    assert status(evening, "ann", receipt.entry) == "waiting"
    assert evening.bundles.local_copy(hashlib.sha256(bundle).hexdigest()).read_bytes() == bundle
    kinds = [record["kind"] for record in console_view(evening.db, now=evening.now).recent]
    assert kinds.count("bundle-complete") == 1


def test_the_same_claim_from_many_threads_is_one_entry(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    start = threading.Barrier(6)

    def send(_: int) -> bool:
        start.wait()
        return evening.claim("ann", bundle).repeated

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(send, range(6))) == [False] + [True] * 5
    assert evening.enter("ann", bundle)
    assert console_view(evening.db, now=evening.now).counts["waiting"] == 1


def test_pieces_too_large_or_beyond_the_end_are_refused(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    receipt = evening.claim("ann", bundle)
    with pytest.raises(PieceTooLarge):
        evening.piece("ann", receipt.entry, receipt.offset, bytes(PIECE_BYTES + 1))
    with pytest.raises(PieceTooLarge):
        evening.piece("ann", receipt.entry, receipt.offset, bundle[receipt.offset :] + b"x")


def test_other_tensors_than_claimed_are_dropped_and_asked_for_again(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    receipt = evening.claim("ann", bundle)
    damaged = bundle[:-1] + bytes([bundle[-1] ^ 1])
    with pytest.raises(TensorsDiffer) as refused:
        evening.enter("ann", damaged)
    assert refused.value.expected == receipt.offset
    assert status(evening, "ann", receipt.entry) == "receiving"
    assert evening.enter("ann", bundle) == receipt.entry
    assert status(evening, "ann", receipt.entry) == "waiting"


def test_bytes_the_disk_lost_are_asked_for_again(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    receipt = evening.claim("ann", bundle)
    evening.piece("ann", receipt.entry, receipt.offset, bundle[receipt.offset : receipt.offset + 100])
    evening.spool.drop(receipt.entry)
    with pytest.raises(BytesLost):
        evening.piece("ann", receipt.entry, receipt.offset + 100, b"x")
    assert evening.claim("ann", bundle).offset == receipt.offset
    assert status(evening, "ann", evening.enter("ann", bundle)) == "waiting"


def test_a_crash_between_writing_the_bytes_and_the_database_row_loses_nothing(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    receipt = evening.claim("ann", bundle)
    evening.spool.write(receipt.entry, receipt.offset, b"\0" * 5_000)  # on the disk, and the row never heard of it
    assert evening.claim("ann", bundle).offset == receipt.offset
    evening.enter("ann", bundle)
    assert evening.bundles.local_copy(hashlib.sha256(bundle).hexdigest()).read_bytes() == bundle


def test_a_whole_file_is_entered_in_one_call(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    file = evening.folder / "form"
    file.write_bytes(bundle)
    for repeated in (False, True):
        receipt = take_file(
            evening.db, evening.bundles, evening.spool, file, secret_of("ann"), "ann", key=evening.key, now=evening.now
        )
        assert (receipt.state, receipt.repeated, receipt.offset) == ("waiting", repeated, len(bundle))
    assert evening.verify_all() == 1
    file.write_bytes(bundle[:-1])
    with pytest.raises(BadClaim, match="cut off"):
        take_file(
            evening.db, evening.bundles, evening.spool, file, secret_of("ann"), "ann", key=evening.key, now=evening.now
        )


def test_a_whole_file_completes_an_upload_begun_in_pieces(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    receipt = evening.claim("ann", bundle)
    evening.piece("ann", receipt.entry, receipt.offset, bundle[receipt.offset : receipt.offset + 100])
    file = evening.folder / "form"
    file.write_bytes(bundle)
    assert take_file(
        evening.db, evening.bundles, evening.spool, file, secret_of("ann"), "ann", key=evening.key, now=evening.now
    ).repeated
    assert status(evening, "ann", receipt.entry) == "waiting"


def test_only_the_owner_sees_sends_or_withdraws_an_entry(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    receipt = evening.claim("ann", bundle)
    for act in (
        lambda: entry_status(evening.db, receipt.entry, secret_of("eve"), now=evening.now),
        lambda: withdraw(evening.db, receipt.entry, secret_of("eve"), now=evening.now),
        lambda: evening.piece("eve", receipt.entry, receipt.offset, b"x"),
        lambda: entry_status(evening.db, "0" * 32, secret_of("ann"), now=evening.now),
    ):
        with pytest.raises(EntryNotFound):
            act()


def test_secrets_must_look_like_secrets() -> None:
    assert is_secret(new_secret())
    assert identity_of("a" * 22).owner_id == hashlib.sha256(b"verse-entry-1" + b"a" * 22).hexdigest()
    assert identity_of("a" * 22).voter_id == hashlib.sha256(b"verse-voter-1" + b"a" * 22).hexdigest()
    for bad in ("", "a" * 21, "a" * 65, "a" * 21 + "é", "a" * 21 + " ", "a" * 22 + "\n", None):
        with pytest.raises(BadSecret):
            identity_of(bad)


@pytest.mark.parametrize("name", ["", "   ", "x" * 41, "a\nb", "a\x1b[31m", "\u202egnp", "\u2028", "\ud800", "\u200b"])
def test_names_that_are_not_one_line_of_text_are_refused(evening: Evening, bundle: bytes, name: str) -> None:
    evening.begin()
    with pytest.raises(BadName):
        take_claim(
            evening.db,
            evening.bundles,
            evening.spool,
            header_of(bundle),
            secret_of("ann"),
            name,
            key=evening.key,
            now=evening.now,
        )


def test_names_with_markup_are_kept_as_they_are(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    name = "<b>Ann</b> & “Zoë” 🌙"
    receipt = take_claim(
        evening.db,
        evening.bundles,
        evening.spool,
        header_of(bundle),
        secret_of("ann"),
        f" {name} ",
        key=evening.key,
        now=evening.now,
    )
    assert entry_status(evening.db, receipt.entry, secret_of("ann"), now=evening.now).name == name


def test_a_header_that_is_no_claim_is_refused_by_its_rule(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    header = header_of(bundle)
    wrong = {
        "too-short": b"",
        "header-length": b"not a bundle at all",
        "truncated": header[:-1],
        "trailing-bytes": header + b" ",
        "text": header_of(edit_claim(bundle, lambda claim: claim["verse"].update(text="mine"))),  # type: ignore[attr-defined]
    }
    for rule, data in wrong.items():
        with pytest.raises(BadClaim) as refused:
            take_claim(
                evening.db,
                evening.bundles,
                evening.spool,
                data,
                secret_of("ann"),
                "ann",
                key=evening.key,
                now=evening.now,
            )
        assert refused.value.facts["rule"] == rule
    assert evening.spool.parts() == []


def test_verses_beyond_the_events_limits_are_refused(evening: Evening, poet: Poet) -> None:
    evening.begin(EventRules(lines=1, characters=10))
    long = poet.pack(poet.write(replace(RECIPE, tokens=30)))
    with pytest.raises(OverLimits):
        evening.claim("ann", long)
    assert evening.spool.parts() == []


def test_a_prompt_beyond_the_events_limit_is_refused(evening: Evening, poet: Poet) -> None:
    bundle = poet.pack()
    length = len(parse_claim(header_of(bundle)).prompt)
    evening.begin(EventRules(prompt_characters=length))
    assert evening.claim("ann", bundle).state == "receiving"
    evening.forged = True
    with evening.db.writing() as session:
        session.execute(update(Event).values(prompt_characters=length - 1))
    with pytest.raises(OverLimits, match=f"the prompt has {length} characters"):
        evening.claim("bob", bundle)


def test_nobody_enters_before_the_opening_or_after_the_closing(evening: Evening, bundle: bytes) -> None:
    create_event(evening.db, name="Evening", now=evening.now)
    with pytest.raises(SubmissionsNotOpen):
        evening.claim("ann", bundle)
    open_submissions(evening.db, closes_at=evening.now + 60, now=evening.now)
    evening.now += 59.9
    receipt = evening.claim("ann", bundle)
    evening.now += 0.1  # nobody closed by hand: the clock did
    with pytest.raises(SubmissionsClosed):
        evening.claim("bob", bundle)
    assert evening.claim("ann", bundle) == replace(receipt, repeated=True)


def test_tensors_are_accepted_until_the_grace_period_ends(evening: Evening, bundle: bytes) -> None:
    evening.begin(EventRules(grace_seconds=100))
    ann, bob = evening.claim("ann", bundle), evening.claim("bob", bundle)
    close_submissions(evening.db, now=evening.now)
    evening.now += 100
    evening.enter("ann", bundle)
    assert expire_claims(evening.db, now=evening.now) == 0
    evening.now += 1
    with pytest.raises(NotReceiving, match="expired"):
        evening.piece("bob", bob.entry, bob.offset, b"x")
    assert expire_claims(evening.db, now=evening.now) == 1
    assert expire_claims(evening.db, now=evening.now) == 0
    assert (status(evening, "ann", ann.entry), status(evening, "bob", bob.entry)) == ("waiting", "expired")


def test_submissions_close_at_their_time_and_only_once(evening: Evening, bundle: bytes) -> None:
    evening.begin(EventRules(grace_seconds=10))
    set_closing_time(evening.db, evening.now + 60, now=evening.now)
    evening.claim("ann", bundle)
    evening.now += 65
    for _ in range(2):
        close_due(evening.db, now=evening.now)
    event = console_view(evening.db, now=evening.now).event
    assert (event.state, event.closed_at, event.grace_ends_at) == ("closed", evening.now - 5, evening.now + 5)
    evening.now += 6
    close_due(evening.db, now=evening.now)
    assert console_view(evening.db, now=evening.now).counts["expired"] == 1


def test_quotas_hold_per_owner_and_for_the_event(evening: Evening) -> None:
    evening.forged = True
    evening.begin(EventRules(max_open=2, max_claims=3, max_entries=2))
    bundles = verses(5)
    for bundle in bundles[:2]:
        evening.claim("ann", bundle)
    with pytest.raises(QuotaReached, match="withdraw one"):
        evening.claim("ann", bundles[2])
    for bundle in bundles[:2]:
        evening.enter("ann", bundle)
    evening.verify_all()  # the second replaces the first, which then counts no more
    for number in (1, 2):
        evening.enter("ann", forged_verse(number))
    evening.verify_all()
    with pytest.raises(QuotaReached, match="no more"):
        evening.claim("ann", bundles[3])
    evening.claim("bob", bundles[3])
    with pytest.raises(QuotaReached, match="organizer"):
        evening.claim("eve", bundles[4])
    assert len(evening.spool.parts()) == 1


def test_a_quota_holds_against_claims_at_the_same_moment(evening: Evening) -> None:
    evening.begin(EventRules(max_open=2))
    bundles, start = verses(6), threading.Barrier(6)

    def claim(bundle: bytes) -> bool:
        start.wait()
        try:
            return bool(evening.claim("ann", bundle))
        except QuotaReached:
            return False

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(claim, bundles)) == [False] * 4 + [True] * 2


def test_nothing_is_taken_where_the_disk_is_nearly_full(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    full = replace(evening.spool, min_free=2 * evening.spool.free_bytes())  # other programs free some, too
    receipt = evening.claim("bob", bundle)
    offset, piece = receipt.offset, bundle[receipt.offset :]
    with pytest.raises(LittleSpace):
        take_piece(evening.db, evening.bundles, full, receipt.entry, secret_of("bob"), offset, piece, now=evening.now)
    withdraw(evening.db, receipt.entry, secret_of("bob"), now=evening.now)
    drop_parts(evening.db, evening.spool)
    with pytest.raises(LittleSpace):
        take_claim(
            evening.db,
            evening.bundles,
            full,
            header_of(bundle),
            secret_of("ann"),
            "ann",
            key=evening.key,
            now=evening.now,
        )
    assert evening.spool.parts() == []


def test_an_owner_may_withdraw_a_verse_and_enter_it_again(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    entry = evening.enter("ann", bundle)
    evening.enter("bob", verses(1)[0])
    evening.verify_all()
    for _ in range(2):
        assert withdraw(evening.db, entry, secret_of("ann"), now=evening.now).state == "withdrawn"
    evening.now += 1
    again = evening.claim("ann", bundle)
    assert (again.entry, again.state, again.received) == (entry, "verified", evening.now)
    assert evening.verify_all() == 0, "its bytes have their verdict"
    assert status(evening, "ann", entry) == "verified"
    close_submissions(evening.db, now=evening.now)
    draw_bracket(evening.db, word=WORD, now=evening.now)
    with pytest.raises(WrongState):
        withdraw(evening.db, entry, secret_of("ann"), now=evening.now)


def test_a_claim_withdrawn_before_its_tensors_starts_again_from_the_beginning(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    receipt = evening.claim("ann", bundle)
    evening.piece("ann", receipt.entry, receipt.offset, bundle[receipt.offset : receipt.offset + 50])
    withdraw(evening.db, receipt.entry, secret_of("ann"), now=evening.now)
    with pytest.raises(NotReceiving):
        evening.piece("ann", receipt.entry, receipt.offset + 50, b"x")
    assert drop_parts(evening.db, evening.spool) == 1 and evening.spool.parts() == []
    assert status(evening, "ann", evening.enter("ann", bundle)) == "waiting"


def test_a_later_verse_replaces_the_earlier_only_if_it_verifies(evening: Evening) -> None:
    evening.begin()
    first, second = verses(2)
    one = evening.enter("ann", first)
    evening.verify_all()
    evening.now += 1
    bad = evening.enter("ann", undecided_verse())
    evening.verify_all()
    assert (status(evening, "ann", one), status(evening, "ann", bad)) == ("verified", "refused")
    evening.now += 1
    two = evening.enter("ann", second)
    assert status(evening, "ann", one) == "verified"
    evening.verify_all()
    assert (status(evening, "ann", one), status(evening, "ann", two)) == ("replaced", "verified")


def test_the_latest_claim_of_an_owner_stays_whichever_is_checked_first(evening: Evening) -> None:
    evening.begin()
    first, second = verses(2)
    early = evening.claim("ann", first)
    evening.now += 1
    late = evening.enter("ann", second)  # its tensors are here first
    evening.verify_all()
    evening.enter("ann", first)
    evening.verify_all()
    assert (status(evening, "ann", early.entry), status(evening, "ann", late)) == ("replaced", "verified")


def test_an_undecided_verse_may_be_replaced_until_grace_ends(evening: Evening) -> None:
    evening.begin(EventRules(grace_seconds=100))
    first, second = verse_instead(0), verse_instead(1)
    refused = evening.enter("ann", undecided_verse())
    evening.verify_all()
    close_submissions(evening.db, now=evening.now)
    evening.now += 50
    now = entry_status(evening.db, refused, secret_of("ann"), now=evening.now)
    assert (now.state, now.code, now.may_replace) == ("refused", "too-close", True) and "nobody's" in now.reason
    with pytest.raises(SubmissionsClosed):
        evening.claim("bob", first)
    evening.enter("ann", first)
    with pytest.raises(SubmissionsClosed):
        evening.claim("ann", second)
    evening.verify_all()
    evening.now += 51
    with pytest.raises(SubmissionsClosed):
        evening.claim("ann", second)


def test_two_people_with_one_bundle_both_enter_and_the_organizer_sees_it(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    ann, bob = evening.enter("ann", bundle), evening.enter("bob", bundle)
    assert ann != bob and evening.verify_all() == 1
    assert (status(evening, "ann", ann), status(evening, "bob", bob)) == ("verified", "verified")
    duplicates = {entry.entry: entry.duplicates for entry in console_view(evening.db, now=evening.now).entries}
    assert duplicates == {ann: [bob], bob: [ann]}


def test_what_was_logged_holds_no_name_verse_or_secret(evening: Evening, bundle: bytes) -> None:
    evening.begin()
    evening.enter("ann", bundle)
    evening.verify_all()
    log = repr(console_view(evening.db, now=evening.now).recent)
    digest = hashlib.sha256(header_of(bundle)).hexdigest()
    for private in ("ann", secret_of("ann"), identity_of(secret_of("ann")).owner_id, digest, "thimble"):
        assert private not in log
    assert verify_log(evening.db) > 4


def test_a_second_person_at_the_same_computer_does_not_replace_the_first_without_a_word(evening: Evening) -> None:
    evening.begin()
    first, second, third = verses(3)
    secret = secret_of("the laptop of the workshop")

    def claim(bundle: bytes, name: str, *, replace: bool = False) -> str:
        spool, header = evening.spool, header_of(bundle)
        receipt = take_claim(
            evening.db, evening.bundles, spool, header, secret, name, replace=replace, key=evening.key, now=evening.now
        )
        return receipt.state

    assert claim(first, "Ada") == "receiving"
    with pytest.raises(OtherName, match=r"'Ada'.*--ticket-file"):
        claim(second, "Ben")
    assert claim(second, "Ada") == "receiving", "the same person, another verse"
    assert claim(first, "Ada Lovelace") == "receiving", "the same verse: a new name"
    assert claim(third, "Countess", replace=True) == "receiving"
