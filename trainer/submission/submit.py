"""From a checkpoint and a recipe to a bundle: the verse is written again, looked at, and packed with its proof."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from trainer.checkpoint import Checkpoint
from trainer.errors import SubmitError
from trainer.submission.credentials import secret_for
from trainer.submission.eligibility import refusal
from trainer.submission.http_client import Address, Wire
from trainer.submission.upload import follow, send
from trainer.text import pasted
from trainer.verse.bundle import pack
from trainer.verse.files import write_atomically
from trainer.verse.generate import MAX_BATCH, Written, regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.recipe import MAX_SEED, Recipe
from trainer.verse.text import verse_text

FOLDER = Path("submissions")  # where bundles go, each named by its content's digest
OFFERED_SEEDS = 5  # instead of one that cannot be submitted


@dataclass(frozen=True)
class Submission:
    """A bundle ready to be kept.

    Attributes:
        data: the bundle's bytes.
        written: what the model wrote.
        text: the verse.
    """

    data: bytes
    written: Written
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the bundle, in hexadecimal: its name in a folder of bundles."""
        return hashlib.sha256(self.data).hexdigest()


def make_submission(checkpoint: Checkpoint, recipe: Recipe) -> Submission:
    """Write the verse from the rounded weights and pack it; with a bar on a terminal where that takes a while.

    Args:
        checkpoint: the trained model.
        recipe: what to ask of it.

    Raises:
        SubmitError: the verse is undecided, no text or too long; the message offers seeds near by that are none of it.
        RecipeError, WeightsError, NotFinite: the model cannot write it at all.
    """
    weights = round_weights(checkpoint.config, checkpoint.weights)
    model = VerseModel(checkpoint.config, weights)
    vocabulary = checkpoint.vocabulary
    with tqdm(total=recipe.tokens, unit="token", delay=1, leave=False, disable=None) as bar:
        [written] = regenerate(model, vocabulary, [recipe], bar.update)
    if refused := refusal(vocabulary, written):
        good = _near_seeds(checkpoint, model, recipe)
        offer = f"try --seed {' or '.join(map(str, good))}" if good else "try another prompt or temperature"
        raise SubmitError(f"{refused.reason}. Nothing was written; {offer}")
    data = pack(checkpoint.config, vocabulary, weights, written, checkpoint.provenance)
    return Submission(data, written, verse_text(vocabulary, recipe, written.ids))


def keep(submission: Submission, out: Path | None = None) -> Path:
    """Write the bundle to `out`, or into `FOLDER` under its digest. Equal bundles are one file.

    Raises:
        OSError: it cannot be written; no part of it is left behind.
    """
    if out is None:
        FOLDER.mkdir(exist_ok=True)
        out = FOLDER / f"{submission.digest}.verse"
    write_atomically(out, submission.data)
    return out


def _near_seeds(checkpoint: Checkpoint, model: VerseModel, recipe: Recipe) -> list[int]:
    """The first few seeds after this one that write a verse one can submit."""
    seeds = [(recipe.seed + step) % (MAX_SEED + 1) for step in range(1, MAX_BATCH + 1)]
    written = regenerate(model, checkpoint.vocabulary, [replace(recipe, seed=seed) for seed in seeds])
    return [each.recipe.seed for each in written if refusal(checkpoint.vocabulary, each) is None][:OFFERED_SEEDS]


def report(submission: Submission, prompt: str, path: Path) -> str:
    """What people read when it is done: the verse, how sure it is, and what to do next."""
    certificate = submission.written.certificate
    return (
        f"{prompt}{submission.text}\n\n"
        f"{certificate.tokens} tokens; the closest decision, token {certificate.position}, was ahead by "
        f"{certificate.smallest_gap:.2g}: any computer decides the same.\n"
        f"The bundle is {path} ({len(submission.data) / 1e6:.1f} MB). Check it: arena verify {pasted([str(path)])}"
    )


def enter(
    bundle: Path, address: Address, name: str, ticket_file: Path | None, wait: bool, say: Callable[[str], None]
) -> None:
    """Send a kept bundle to an event, and say what becomes of it.

    Args:
        ticket_file: holds the owner's secret; None: the one made for this event.
        wait: until there is a verdict.
        say: prints a line.

    Raises:
        TicketError, UploadError, EventRefused: one sentence each. The bundle stays where it is.
    """
    wire = Wire(address, secret_for(address.url, ticket_file), say=say)
    try:
        entered = send(bundle, wire, name, address.url)
        say(f"All of it is with the event; the receipt is {entered.receipt}")
        say(f"On your phone, to follow it and not be asked to vote on it: {entered.link}")
        if wait:
            say(follow(entered.entry, wire, say=say))
    finally:
        wire.close()
