"""An audition: write many verses with one checkpoint, and show them ranked for people to choose from."""

from __future__ import annotations

import json
from pathlib import Path

import click

from trainer.checkpoint import Checkpoint, read_checkpoint
from trainer.corpus import KNOWN_CORPORA, Corpus, is_available, load_corpus
from trainer.errors import CorpusError, OptionError, TrainerError
from trainer.runtime.run import Run, read_config
from trainer.submission.audition_page import render_page
from trainer.submission.candidates import Audition, AuditionRequest, write_candidates
from trainer.text import wrap
from trainer.verse.files import write_atomically
from trainer.verse.originality import MAX_SOURCE
from trainer.verse.text import sanitize


def run_audition(request: AuditionRequest, best: int, page: Path | None = None, *, as_json: bool = False) -> str:
    """Run an audition and return what to print; with progress bars on a terminal.

    Args:
        request: What to write.
        best: Most verses to print.
        page: Where to write a page with all verses instead of printing the best; None to print.
        as_json: Return all verses as JSON instead.

    Raises:
        OptionError: An option is out of bounds.
        CheckpointError: The checkpoint cannot be read.
        UnknownCharacter: A prompt holds a character that the model was not trained on.
        RecipeError: A value is out of bounds, or too long for this model.
        SubmitError: No verse is left.
        OSError: The page cannot be written.
    """
    if best < 1:
        raise OptionError(f"--best must be 1 or more, not {best}")
    if page is not None and (page.is_dir() or not page.parent.is_dir()):
        raise OptionError(f"--html {page} cannot be written: give a file in an existing folder")
    checkpoint = read_checkpoint(request.ckpt)
    corpus, note = None, None
    try:
        corpus = find_corpus(checkpoint, request.ckpt)
    except (TrainerError, OSError) as error:
        note = f"Known words and quotations are not checked: {sanitize(str(error))}."
    audition = write_candidates(request, checkpoint, corpus, note)
    if as_json:
        return audition_json(audition)
    if page is None:
        return format_audition(audition, best)
    write_atomically(page, render_page(audition).encode())
    return wrap(f"{audition.summary}\nOpen {sanitize(str(page))} in a browser to read and choose.")


def format_audition(audition: Audition, best: int) -> str:
    """Return the best verses as text, with their counts and submit commands."""
    parts = [wrap(text) for text in (audition.summary, audition.criteria, audition.note) if text]
    for rank, verse in enumerate(audition.verses[:best], start=1):
        heading = click.style(f"{rank}. Score {verse.stats.score:.0f}", bold=True)
        text = click.style(verse.prompt, dim=True) + verse.text if verse.prompt else verse.text
        text = text.strip("\n")
        parts.append(f"\n{heading}: {'; '.join(verse.details)}.\n\n{text}\n\n{verse.submit_command}")
    return "\n".join(parts)


def audition_json(audition: Audition) -> str:
    """Return all verses as JSON, the best first: each with its recipe, as `trainer submit` takes it, and its counts."""
    verses = [
        {
            "prompt": verse.prompt,
            "temperature": f"{verse.recipe.temperature / 100:g}",
            "top_k": verse.recipe.top_k,
            "seed": verse.recipe.seed,
            "text": verse.text,
            "score": verse.stats.score,
            "words": verse.stats.words,
            "known": verse.stats.known,  # words that are in the corpus; null if it was not found
            "lines": verse.stats.lines,
            "ends_sentence": verse.stats.ends_sentence,
        }
        for verse in audition.verses
    ]
    return json.dumps({"written": audition.written, "dropped": dict(audition.dropped), "verses": verses})


def find_corpus(checkpoint: Checkpoint, path: Path) -> Corpus:
    """Find the corpus that a checkpoint was trained on. Nothing is downloaded.

    Args:
        checkpoint: The checkpoint.
        path: Where it was read from, a run's folder or a file.

    Raises:
        CorpusError: The corpus is missing, or is another text now.
        RunError: The run's folder is damaged.
        OSError: The corpus cannot be read.
    """
    name, digest = checkpoint.corpus["name"], checkpoint.corpus["sha256"]
    known = next((known for known in KNOWN_CORPORA if KNOWN_CORPORA[known].sha256 == digest), None)
    run = Run(path if path.is_dir() else path.parent)
    if known and (is_available(known) or not run.config.exists()):
        source, encoding, strip_gutenberg = known, "", False
    elif run.config.exists():
        config = read_config(run)[0]
        source, encoding, strip_gutenberg = config.corpus, config.encoding, config.strip_gutenberg
    else:
        raise CorpusError(f"only its run's folder says where the corpus {name!r} is")
    if source in KNOWN_CORPORA and not is_available(source):
        raise CorpusError(f"{source} is not on this computer: get it with trainer corpus fetch {source}")
    corpus = load_corpus(source, encoding, strip_gutenberg)
    if corpus.sha256 != digest:
        raise CorpusError(f"{source} is no longer the text that the model was trained on")
    if len(corpus.text) > MAX_SOURCE:
        raise CorpusError(f"{name} has {len(corpus.text):,} characters; more than {MAX_SOURCE:,} would take too long")
    return corpus
