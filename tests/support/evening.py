"""An event on real files, and people who enter real verses, for tests of services."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from arena.bootstrap import BundleStore, Database, open_database, sqlite_url
from arena.services.bracket import close_match, draw_bracket, open_match
from arena.services.entries import PIECE_BYTES, take_claim, take_piece
from arena.services.events import close_submissions, create_event, open_submissions
from arena.services.queries import console_view
from arena.services.schemas import EntryStatus, EventRules, Job, MatchResult, Receipt
from arena.services.verification import claim_next, record_verdict
from arena.services.voting import cast_vote, get_ballot
from arena.verification.check import check_bundle
from tests.support.bundles import RECIPE, VOCABULARY, Poet, random_weights, torn_poet
from trainer.verse.claim import header_length
from trainer.verse.text import verse_text

KEY = "11" * 32  # signs receipts
START = 1_000_000.0  # seconds since the epoch


def secret_of(name: str) -> str:
    """A secret for a person of this name."""
    return f"secret-of-{name}".ljust(22, "-")


def header_of(bundle: bytes) -> bytes:
    return bundle[: header_length(bundle[:8])]


def verses(count: int) -> list[bytes]:
    """Bundles of different verses by one poet, each of 1 to 8 lines and decided."""
    return [_verse(number) for number in range(count)]


@cache
def _verse(number: int) -> bytes:
    poet = Poet(random_weights(1))
    for seed in range(1_000 * number, 1_000 * (number + 1)):
        written = poet.write(replace(RECIPE, seed=seed, tokens=24, lines=8))
        if written.decided and verse_text(VOCABULARY, written.recipe, written.ids).strip():
            return poet.pack(written)
    raise AssertionError("no seed writes a verse")


@cache
def undecided_verse() -> bytes:
    """A bundle whose verse has a decision too close to call."""
    poet = torn_poet(Poet(random_weights(1)))
    for prompt in range(VOCABULARY.size):
        written = poet.write(replace(RECIPE, prompt_ids=(prompt,), temperature=0, tokens=20, lines=8))
        if not written.decided and verse_text(VOCABULARY, written.recipe, written.ids).strip():
            return poet.pack(written)
    raise AssertionError("every prompt writes a decided verse")


@dataclass
class Evening:
    """A database, a folder of bundles, and a clock that moves when it is told to."""

    folder: Path
    now: float = START
    db: Database = field(init=False)
    store: BundleStore = field(init=False)

    def __post_init__(self) -> None:
        self.db = open_database(sqlite_url(self.folder / "arena.sqlite3"))
        self.store = BundleStore(self.folder, min_free=0)
        self.store.prepare()

    def dispose(self) -> None:
        self.db.dispose()

    def begin(self, rules: EventRules | None = None, word: str = "thimble") -> None:
        create_event(self.db, name="Evening", draw_word=word, rules=rules or EventRules(), salt="salt", now=self.now)
        open_submissions(self.db, now=self.now)

    def claim(self, name: str, bundle: bytes) -> Receipt:
        header = header_of(bundle)
        return take_claim(self.db, self.store, header, secret_of(name), name, key=KEY, now=self.now)

    def piece(self, name: str, entry: str, offset: int, data: bytes) -> EntryStatus:
        return take_piece(self.db, self.store, entry, secret_of(name), offset, data, now=self.now)

    def enter(self, name: str, bundle: bytes) -> str:
        """Claim and send all of a bundle; the entry's id."""
        receipt = self.claim(name, bundle)
        offset = receipt.offset
        while offset < receipt.size:
            offset = self.piece(name, receipt.entry, offset, bundle[offset : offset + PIECE_BYTES]).received
        return receipt.entry

    def lease(self, worker: str = "worker", seconds: float = 30.0) -> Job | None:
        return claim_next(self.db, worker=worker, lease_seconds=seconds, now=self.now)

    def verify_all(self) -> int:
        """Check what waits, in this process; how many."""
        count = 0
        while job := self.lease():
            count += 1
            assert record_verdict(self.db, job, check_bundle(self.store.path(job.bundle)), now=self.now)
        return count

    def drawn(self, bundles: list[bytes]) -> list[str]:
        """Enter, verify, close and draw; entry ids in the order of the lot."""
        for number, bundle in enumerate(bundles):
            self.enter(f"poet{number}", bundle)
        self.verify_all()
        close_submissions(self.db, now=self.now)
        draw_bracket(self.db, now=self.now)
        placed = [entry for entry in console_view(self.db, now=self.now).entries if entry.seed]
        return [entry.entry for entry in sorted(placed, key=lambda entry: entry.seed or 0)]

    def vote(self, voter: str, match: str, text: str) -> None:
        """Vote for the verse with this text, on whichever side the voter sees it."""
        shown = get_ballot(self.db, match, secret_of(voter), now=self.now)
        side = "left" if shown.left == text else "right"
        cast_vote(self.db, match, secret_of(voter), side, shown.poll_round, now=self.now)

    def decide(self, match: str, text: str, voters: int = 3) -> MatchResult:
        """Open a match, let everybody vote for one verse, close it."""
        open_match(self.db, match, now=self.now)
        for number in range(voters):
            self.vote(f"voter{number}", match, text)
        self.now += 1
        return close_match(self.db, match, poll_round=0, now=self.now)
