"""How long the audit of a published event takes: 64 verses of different models of 0.8 million weights."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from arena.audit.check import Known, audit_file
from arena.services.export import export_event
from arena.services.publishing import publish
from arena.services.queries import get_next_match
from arena.verification.runner import available_cores
from tests.support.bundles import VOCABULARY, Poet
from tests.support.evening import Evening
from tests.support.played import upper_text
from tests.support.small_models import is_decided
from trainer.verse.config import ModelConfig
from trainer.verse.recipe import Recipe
from trainer.verse.text import verse_text

ENTRIES, VOTERS = 64, 60
CONFIG = ModelConfig("modern", n_layer=4, n_head=4, n_embd=128, block_size=256, vocab_size=VOCABULARY.size)
RECIPE = Recipe(prompt_ids=(0,), temperature=80, top_k=0, seed=7, tokens=300, lines=8)


def bundle(number: int) -> bytes:
    """A verse of up to 300 tokens by a model of its own."""
    poet = Poet.random(number, CONFIG, spread=0.1)
    for seed in range(100):
        written = poet.write(replace(RECIPE, seed=seed))
        if is_decided(written) and verse_text(VOCABULARY, written.recipe, written.ids).strip():
            return poet.pack(written)
    raise AssertionError("no seed writes a verse")


def main() -> None:
    """Play an evening, export it, and audit the file."""
    with tempfile.TemporaryDirectory() as folder:
        evening = Evening(Path(folder) / "event").begin()
        for number in range(ENTRIES):
            evening.enter(f"Poet {number}", bundle(number))
        evening.verify_all()
        evening.close_and_draw()
        while match := get_next_match(evening.db, now=evening.now):
            evening.decide(match.id, upper_text(evening, match.id), voters=VOTERS)
        publish(evening.db, now=evening.now)
        path = Path(folder) / "event.zip"
        started = time.monotonic()
        report = export_event(evening.db, evening.bundles, path, key=evening.key)
        exported = time.monotonic()
        page = audit_file(path, Known(), available_cores())
        ended = time.monotonic()
        evening.end()
        print(f"{ENTRIES} entries of {CONFIG.n_params:,} weights, {VOTERS} votes a match, {report.size:,} bytes")
        print(f"export {exported - started:.1f} s, audit {ended - exported:.1f} s in {available_cores()} processes")
        print(f"everything agrees: {page.agrees}")


if __name__ == "__main__":
    main()
