"""Which verses no event would take. One rule for `trainer submit` and `trainer audition`."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.verse.errors import NotText
from trainer.verse.generate import Written
from trainer.verse.text import verse_text
from trainer.verse.vocabulary import Vocabulary

MAX_CHARACTERS = 480  # an event's usual limit: what fits a phone


@dataclass(frozen=True)
class Refusal:
    """Why a verse cannot be submitted."""

    kind: str  # in a word or two, as many verses are counted by it
    reason: str  # a clause about this one


def refusal(vocabulary: Vocabulary, written: Written) -> Refusal | None:
    """Why this verse cannot be submitted, if it cannot."""
    seed = written.recipe.seed
    try:
        text = verse_text(vocabulary, written.recipe, written.ids)
    except NotText as error:
        return Refusal("no text", f"seed {seed} writes bytes that are no text ({error.reason} at byte {error.offset})")
    if len(text) > MAX_CHARACTERS:
        return Refusal(
            "too long",
            f"the verse has {len(text)} characters, and at most {MAX_CHARACTERS} are allowed (ask for fewer --lines)",
        )
    if not text.strip():
        return Refusal("empty", f"seed {seed} writes nothing but spaces")
    if not written.decided:
        certificate = written.certificate
        return Refusal(
            "undecided",
            f"seed {seed} is UNDECIDED: its token {certificate.position} was chosen by a gap of "
            f"{certificate.smallest_gap:.1e}, so close that another computer might choose otherwise",
        )
    return None
