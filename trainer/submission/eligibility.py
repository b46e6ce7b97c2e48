"""Which verses can be submitted: one rule for `trainer submit` and `trainer audition`."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.submission.event import Limits
from trainer.verse.characters import appearance_fault, has_ink
from trainer.verse.decision import BOUND
from trainer.verse.errors import NotText
from trainer.verse.generate import Written
from trainer.verse.model import VerseModel
from trainer.verse.replay import replay
from trainer.verse.text import replace_controls, verse_text
from trainer.verse.vocabulary import Vocabulary


@dataclass(frozen=True)
class Rejection:
    """Why a verse cannot be submitted."""

    kind: str  # one or two words, for counting
    reason: str  # a clause about this verse


def check_eligibility(vocabulary: Vocabulary, written: Written, limits: Limits) -> Rejection | None:
    """Return why a verse cannot be submitted; None if nothing but its rounding errors is left to check.

    Args:
        vocabulary: That of the model that wrote it.
        written: The verse.
        limits: The event's; the default ones if the event is not known.
    """
    seed = written.recipe.seed
    prompt = replace_controls(vocabulary.decode(written.recipe.prompt_ids))
    if len(prompt) > limits.prompt_characters:
        return Rejection(
            "prompt too long",
            f"the prompt has {len(prompt)} characters, and at most {limits.prompt_characters} are allowed, since it is "
            "shown with the verse (give a shorter --prompt, or --to with the address of an event that allows more)",
        )
    try:
        text = verse_text(vocabulary, written.recipe, written.ids)
    except NotText as error:
        return Rejection("not text", f"seed {seed} writes what is not text: {error.reason}")
    if len(text) > limits.characters:
        return Rejection(
            "too long",
            f"the verse has {len(text)} characters, and at most {limits.characters} are allowed (give fewer --lines, "
            "or --to with the address of an event that allows more)",
        )
    if (lines := sum(1 for line in text.split("\n") if line.strip(" "))) > limits.lines:
        return Rejection("too many lines", f"the verse has {lines} lines, and at most {limits.lines} are allowed")
    if not has_ink(text):
        return Rejection("empty", f"seed {seed} writes nothing that can be seen")
    if fault := appearance_fault(text, prompt):
        return Rejection("not shown", f"the verse cannot be shown: {fault}")
    certificate = written.certificate
    if certificate.smallest_gap <= BOUND:
        return Rejection(
            "undecided",
            f"seed {seed} is UNDECIDED: its token {certificate.position} was chosen by a gap of "
            f"{certificate.smallest_gap:.1e}, so small that another computer may choose another token",
        )
    return None


def check_rounding(model: VerseModel, written: Written) -> Rejection | None:
    """Return why rounding could change a verse that is eligible otherwise; None if every verifier will say PASS.

    It is replayed as verifiers do, which takes a third of the time of writing it.

    Args:
        model: The model that wrote it.
        written: The verse.
    """
    if replay(model, written.recipe, written.ids).verdict == "PASS":
        return None
    return Rejection(
        "undecided",
        f"seed {written.recipe.seed} is UNDECIDED: this model magnifies rounding errors so much that another computer "
        "may choose another token",
    )
