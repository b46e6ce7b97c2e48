"""Many verses at once: written by the one generator, sieved, and ranked for people to choose from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import click
from tqdm import tqdm

from trainer.checkpoint import Checkpoint, read_checkpoint
from trainer.corpus import KNOWN, Corpus, is_at_hand, load
from trainer.errors import CorpusError, OptionError, SubmitError, TrainerError
from trainer.runtime.run import Run, read_config
from trainer.sampling import DEFAULT_LINES, recipe_for
from trainer.submission.eligibility import refusal
from trainer.submission.scoring import Judge, Merits
from trainer.text import counted, pasted, wrapped
from trainer.verse.files import write_atomically
from trainer.verse.generate import regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.originality import MAX_SOURCE, REJECT
from trainer.verse.recipe import MAX_SEED, Recipe
from trainer.verse.text import verse_text

MAX_COUNT = 4096  # verses: more than one evening's reading


@dataclass(frozen=True)
class Call:
    """What is asked for: so many verses, spread evenly over every prompt at every temperature.

    Raises `OptionError` when made with what makes no sense.
    """

    ckpt: Path  # a run's folder, or a checkpoint
    prompts: tuple[str, ...]  # "": a line feed
    temperatures: tuple[int, ...]  # hundredths
    top_k: int
    count: int  # verses in all
    seed: int  # the first, of each prompt and temperature
    tokens: int | None  # of a verse, at most; None: as many as usual
    lines: int  # of a verse

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", tuple(dict.fromkeys(self.prompts)))
        object.__setattr__(self, "temperatures", tuple(dict.fromkeys(self.temperatures)))
        kinds = len(self.prompts) * len(self.temperatures)
        if not kinds <= self.count <= MAX_COUNT:
            raise OptionError(
                f"--count must be {kinds:,} to {MAX_COUNT:,}, not {self.count:,}: at least one verse for each of "
                f"{len(self.prompts)} x {len(self.temperatures)} prompts and temperatures"
            )
        last = self.seed + -(-self.count // kinds) - 1
        if self.seed >= 0 and last > MAX_SEED:
            raise OptionError(
                f"--seed {self.seed:,} leaves no room for {self.count:,} verses, since seeds end with {MAX_SEED:,}: "
                f"give at most {self.seed - (last - MAX_SEED):,}"
            )

    def recipes(self, checkpoint: Checkpoint) -> list[tuple[str, Recipe]]:
        """Each with its prompt as it was typed.

        Raises:
            As `recipe_for`.
        """
        kinds = list(product(self.prompts, self.temperatures))
        recipes = []
        for index, (prompt, temperature) in enumerate(kinds):
            share = self.count // len(kinds) + (index < self.count % len(kinds))
            for seed in range(self.seed, self.seed + share):
                recipe = recipe_for(checkpoint, prompt, temperature, seed, self.top_k, self.tokens, self.lines)
                recipes.append((prompt, recipe))
        return recipes

    def submit_line(self, prompt: str, recipe: Recipe) -> str:
        """The command that submits this verse, for a shell."""
        words = ["trainer", "submit", "--ckpt", str(self.ckpt)]
        if prompt:
            words += ["--prompt", prompt]
        words += ["--temperature", f"{recipe.temperature / 100:g}"]
        if recipe.top_k:
            words += ["--top-k", str(recipe.top_k)]
        words += ["--seed", str(recipe.seed)]
        if self.tokens is not None:
            words += ["--tokens", str(self.tokens)]
        if self.lines != DEFAULT_LINES:
            words += ["--lines", str(self.lines)]
        return pasted(words)


@dataclass(frozen=True)
class Heard:
    """A verse to choose from."""

    prompt: str  # what it goes on from, "" for a line feed; no part of the verse
    text: str
    merits: Merits
    figures: Sequence[str]  # the merits in words
    submit_line: str


@dataclass(frozen=True)
class Audition:
    """What came of it."""

    title: str  # whose verses these are
    verses: Sequence[Heard]  # the best first
    written: int  # verses in all
    dropped: Mapping[str, int]  # how many, by why
    criteria: str  # how the verses are ranked
    note: str | None  # what could not be looked at

    @property
    def summary(self) -> str:
        """How many verses there are, and what became of the others."""
        dropped = ", ".join(f"{number} {why}" for why, number in self.dropped.items())
        written = counted(self.written, "verse")
        return f"{written} by {self.title}: {len(self.verses)} kept; dropped: {dropped or 'none'}."


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
    from trainer.submission.audition_page import page_of  # where nobody asks for a page, nothing of it is loaded

    write_atomically(page, page_of(audition).encode())
    return wrapped(f"{audition.summary}\nOpen {page} in a browser to read and choose.")


def listen(call: Call, checkpoint: Checkpoint, corpus: Corpus | None, note: str | None = None) -> Audition:
    """Write the verses, drop what nobody can submit or what is not the model's own, and rank the rest.

    Raises:
        As `hold`.
    """
    asked = call.recipes(checkpoint)
    model = VerseModel(checkpoint.config, round_weights(checkpoint.config, checkpoint.weights))
    total = sum(recipe.tokens for _, recipe in asked)
    with tqdm(total=total, unit="token", delay=1, leave=False, disable=None) as bar:
        written = regenerate(model, checkpoint.vocabulary, [recipe for _, recipe in asked], bar.update)
    judge = Judge(corpus)
    heard: dict[str, Heard] = {}  # by text
    dropped: Counter[str] = Counter()
    pairs = zip(asked, written, strict=True)
    for (prompt, recipe), verse in tqdm(pairs, total=len(asked), unit="verse", delay=1, leave=False, disable=None):
        if refused := refusal(checkpoint.vocabulary, verse):
            dropped[refused.kind] += 1
            continue
        text = verse_text(checkpoint.vocabulary, recipe, verse.ids)
        if text in heard:
            dropped["written twice"] += 1
            continue
        merits = judge.merits(text, recipe.lines)
        if merits.quotes:
            dropped[f"quoting {REJECT} or more characters of {judge.name}"] += 1
            continue
        heard[text] = Heard(prompt, text, merits, judge.describe(merits), call.submit_line(prompt, recipe))
    if not heard:
        why = ", ".join(f"{number} {kind}" for kind, number in dropped.items())
        raise SubmitError(f"no verse is left ({why}): try another --temperature, --prompt or --seed")
    ranked = sorted(heard.values(), key=lambda one: (-one.merits.score, -one.merits.words))  # else as asked for
    return Audition(str(call.ckpt), ranked, len(asked), dropped, judge.criteria, note)


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
