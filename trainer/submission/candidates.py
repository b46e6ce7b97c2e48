"""The verses of an audition: written by the one generator, filtered and ranked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tqdm import tqdm

from trainer.checkpoint import Checkpoint
from trainer.corpus import Corpus
from trainer.errors import OptionError, SubmitError
from trainer.sampling import DEFAULT_LINES, recipe_for
from trainer.submission.eligibility import refusal
from trainer.submission.scoring import Judge, Merits
from trainer.text import counted, pasted
from trainer.verse.generate import regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.originality import REJECT
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
