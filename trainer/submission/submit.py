"""From a checkpoint and a recipe to a bundle: write the verse again, check it, and pack it with its certificate."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from trainer.checkpoint import Checkpoint
from trainer.errors import SubmitError
from trainer.sampling import verse_model, write_verses
from trainer.submission.eligibility import check_eligibility, check_rounding
from trainer.submission.event import DEFAULT_LIMITS, Event, Limits
from trainer.submission.http_client import EventClient
from trainer.submission.upload import send_bundle, wait_for_verdict
from trainer.text import shell_join
from trainer.verse.bundle import pack
from trainer.verse.files import write_atomically
from trainer.verse.generate import MAX_BATCH, Written
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.recipe import MAX_SEED, Recipe
from trainer.verse.text import sanitize, verse_text
from trainer.verse.vocabulary import Vocabulary

FOLDER = Path("submissions")  # of bundles, each named by the digest of its content
OFFERED_SEEDS = 5  # instead of one that cannot be submitted


@dataclass(frozen=True)
class Submission:
    """A bundle ready to be saved."""

    data: bytes  # the bundle
    written: Written  # what the model wrote
    text: str  # the verse

    @property
    def digest(self) -> str:
        """SHA-256 of the bundle in hexadecimal, which names its file."""
        return hashlib.sha256(self.data).hexdigest()


def make_submission(checkpoint: Checkpoint, recipe: Recipe, limits: Limits = DEFAULT_LIMITS) -> Submission:
    """Write the verse with the rounded weights and pack it; with a progress bar on a terminal.

    Args:
        checkpoint: The model that writes.
        recipe: What it writes from.
        limits: The event's; the default ones if the event is not known.

    Raises:
        SubmitError: The verse cannot be submitted; the message offers other seeds.
        RecipeError: The recipe does not fit the model.
        WeightsError: The weights cannot be stored as a bundle stores them.
    """
    model, vocabulary = verse_model(checkpoint), checkpoint.vocabulary
    [written] = write_verses(model, vocabulary, [recipe], progress=True)
    if rejection := check_eligibility(vocabulary, written, limits) or check_rounding(model, written):
        seeds = _find_eligible_seeds(model, vocabulary, recipe, limits)
        advice = f"try --seed {' or '.join(map(str, seeds))}" if seeds else "try another prompt or temperature"
        raise SubmitError(f"{rejection.reason}. Nothing was written; {advice}")
    weights = round_weights(checkpoint.config, checkpoint.weights)
    data = pack(checkpoint.config, vocabulary, weights, written, checkpoint.provenance)
    return Submission(data, written, verse_text(vocabulary, recipe, written.ids))


def save_bundle(submission: Submission, out: Path | None = None) -> Path:
    """Write the bundle to `out`, or into `FOLDER` under its digest. Equal bundles are one file.

    Raises:
        OSError: It cannot be written; no part of it is left behind.
    """
    if out is None:
        FOLDER.mkdir(exist_ok=True)
        out = FOLDER / f"{submission.digest}.verse"
    write_atomically(out, submission.data)
    return out


def _find_eligible_seeds(model: VerseModel, vocabulary: Vocabulary, recipe: Recipe, limits: Limits) -> list[int]:
    """Return the first few seeds after the recipe's that write a verse which can be submitted.

    Args:
        model: The model that writes.
        vocabulary: What its tokens spell.
        recipe: The one whose verse cannot be submitted.
        limits: The event's.
    """
    seeds = [(recipe.seed + step) % (MAX_SEED + 1) for step in range(1, MAX_BATCH + 1)]
    verses = write_verses(model, vocabulary, [replace(recipe, seed=seed) for seed in seeds])
    eligible = (
        written
        for written in verses
        if check_eligibility(vocabulary, written, limits) is None and check_rounding(model, written) is None
    )
    return [written.recipe.seed for written in islice(eligible, OFFERED_SEEDS)]


def submission_message(submission: Submission, prompt: str, path: Path) -> str:
    """Return what people read about a saved bundle: the verse, its smallest gap, and how to verify it.

    Args:
        submission: The bundle.
        prompt: What the verse continues.
        path: The bundle's file.
    """
    certificate = submission.written.certificate
    return (
        f"{prompt}{submission.text}\n\n"
        f"{certificate.tokens} tokens; the smallest gap is {certificate.smallest_gap:.2g}, at token "
        f"{certificate.position}: every computer writes the same verse.\n"
        f"The bundle is {path} ({len(submission.data) / 1e6:.1f} MB). "
        f"Verify it with: arena verify {shell_join([str(path)])}"
    )


def enter_event(
    bundle: Path,
    client: EventClient,
    event: Event,
    name: str,
    *,
    replace: bool,
    coauthors: Sequence[str] = (),
    wait: bool,
    say: Callable[[str], None],
) -> None:
    """Send a saved bundle to an event, and report its verdict.

    Args:
        bundle: The file.
        client: A client of the event, with the participant's secret.
        event: The event's description.
        name: The author's, as the audience will read it.
        replace: Whether it may replace a verse that was entered under another name with the same secret.
        coauthors: The secrets of further authors, who do not vote on it either.
        wait: Wait for the verdict.
        say: Prints a line.

    Raises:
        UploadError: The event cannot be reached; the bundle is kept.
        EventRefused: The event refused the entry; the bundle is kept.
    """
    entry = send_bundle(bundle, client, name, event, replace=replace, coauthors=coauthors)
    say(f"The upload is complete; the receipt, signed by the event, is {sanitize(str(entry.receipt))}")
    say(f"Open this link on your phone to follow your entry; your phone then does not vote on it: {entry.link}")
    if wait:
        say(wait_for_verdict(entry.id, client, say=say))


def closed_note(event: Event) -> str | None:
    """Return a note if an event takes no new verse now; None if it does. What is begun may still arrive."""
    if event.state == "open":
        return None
    if event.state == "draft":
        return "Note: submissions are not open yet; the bundle is written, and can be sent when they are."
    return "Note: submissions are closed; a verse is taken only if its upload began before."


def corpus_note(checkpoint: Checkpoint, event: Event) -> str | None:
    """Return a note if the model was trained on another text than the event's; None if on the same."""
    if checkpoint.corpus["sha256"] == event.corpus_sha256:
        return None
    return f"Note: the corpus of this event is {event.corpus_name}; this model was trained on another text."
