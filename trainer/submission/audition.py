"""Many verses at once: written by the one generator, sieved, and ranked for people to choose from."""

from __future__ import annotations

from pathlib import Path

import click

from trainer.checkpoint import Checkpoint, read_checkpoint
from trainer.corpus import KNOWN, Corpus, is_at_hand, load
from trainer.errors import CorpusError, OptionError, TrainerError
from trainer.runtime.run import Run, read_config
from trainer.submission.audition_page import page_of
from trainer.submission.candidates import Audition, Call, listen
from trainer.text import wrapped
from trainer.verse.files import write_atomically
from trainer.verse.originality import MAX_SOURCE


def hold(call: Call, best: int, page: Path | None = None) -> str:
    """Hold an audition, and say what came of it; with bars on a terminal where that takes a while.

    Args:
        call: what is asked for.
        best: verses to print, at most.
        page: where to write a page with all of them instead of printing the best.

    Raises:
        OptionError, RecipeError, UnknownCharacter, CheckpointError: it cannot be asked for.
        SubmitError: not one verse is left.
        OSError: the page cannot be written.
    """
    if best < 1:
        raise OptionError(f"--best must be 1 or more, not {best}")
    if page is not None and (page.is_dir() or not page.parent.is_dir()):
        raise OptionError(f"--html {page} cannot be written: give a file in a folder that is there")
    checkpoint = read_checkpoint(call.ckpt)
    corpus, note = None, None
    try:
        corpus = corpus_of(checkpoint, call.ckpt)
    except (TrainerError, OSError) as error:
        note = f"Known words and quotations are not looked for: {error}."
    audition = listen(call, checkpoint, corpus, note)
    if page is None:
        return report(audition, best)
    write_atomically(page, page_of(audition).encode())
    return wrapped(f"{audition.summary}\nOpen {page} in a browser to read and choose.")


def report(audition: Audition, best: int) -> str:
    """The best verses, with their figures and submit lines."""
    parts = [wrapped(text) for text in (audition.summary, audition.criteria, audition.note) if text]
    for rank, verse in enumerate(audition.verses[:best], start=1):
        heading = click.style(f"{rank}. Score {verse.merits.score:.0f}", bold=True)
        shown = click.style(verse.prompt, dim=True) + verse.text if verse.prompt else verse.text
        shown = shown.strip("\n")
        parts.append(f"\n{heading}: {'; '.join(verse.figures)}.\n\n{shown}\n\n{verse.submit_line}")
    return "\n".join(parts)


def corpus_of(checkpoint: Checkpoint, path: Path) -> Corpus:
    """Find the corpus that a checkpoint was trained on. Nothing is fetched.

    Args:
        path: where the checkpoint was read, a run's folder or a file.

    Raises:
        CorpusError, RunError, OSError: it is not where it was, or not what it was.
    """
    name, digest = checkpoint.corpus["name"], checkpoint.corpus["sha256"]
    known = next((known for known in KNOWN if KNOWN[known].sha256 == digest), None)
    run = Run(path if path.is_dir() else path.parent)
    if known and (is_at_hand(known) or not run.config.exists()):
        source = known
    elif run.config.exists():
        source = read_config(run)[0].corpus
    else:
        raise CorpusError(f"only its run's folder says where the corpus {name!r} is")
    if source in KNOWN and not is_at_hand(source):
        raise CorpusError(f"{source} is not at hand: get it with trainer corpus fetch {source}")
    corpus = load(source)
    if corpus.sha256 != digest:
        raise CorpusError(f"{source} is no longer the text that the model was trained on")
    if len(corpus.text) > MAX_SOURCE:
        raise CorpusError(f"{name} has {len(corpus.text):,} characters; more than {MAX_SOURCE:,} would take too long")
    return corpus
