"""Which verses can be submitted: one rule for `trainer submit` and `trainer audition`."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.verse.errors import NotText
from trainer.verse.generate import Written
from trainer.verse.text import verse_text
from trainer.verse.vocabulary import Vocabulary

MAX_CHARACTERS = 480  # an event's usual limit: what fits a phone


@dataclass(frozen=True)
class Rejection:
    """Why a verse cannot be submitted."""

    kind: str  # one or two words, for counting
    reason: str  # a clause about this verse


def check_eligibility(vocabulary: Vocabulary, written: Written) -> Rejection | None:
    """Return why a verse cannot be submitted; None if it can."""
    seed = written.recipe.seed
    try:
        text = verse_text(vocabulary, written.recipe, written.ids)
    except NotText as error:
        reason = f"seed {seed} writes bytes that are not text ({error.reason} at byte {error.offset})"
        return Rejection("not text", reason)
    if len(text) > MAX_CHARACTERS:
        return Rejection(
            "too long",
            f"the verse has {len(text)} characters, and at most {MAX_CHARACTERS} are allowed (give fewer --lines)",
        )
    if not text.strip():
        return Rejection("empty", f"seed {seed} writes only spaces")
    if not written.decided:
        certificate = written.certificate
        return Rejection(
            "undecided",
            f"seed {seed} is UNDECIDED: its token {certificate.position} was chosen by a gap of "
            f"{certificate.smallest_gap:.1e}, so small that another computer may choose another token",
        )
    return None
