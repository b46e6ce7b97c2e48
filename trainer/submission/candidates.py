"""The candidates of an audition: verses written by the one generator, filtered and ranked."""

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
from trainer.prompt import prepare_prompt
from trainer.sampling import DEFAULT_LINES, make_recipe, verse_model, write_verses
from trainer.submission.eligibility import check_eligibility, check_rounding
from trainer.submission.event import DEFAULT_LIMITS, Limits
from trainer.submission.scoring import Scorer, VerseStats
from trainer.text import pluralize, shell_join
from trainer.verse.characters import clean
from trainer.verse.generate import Written
from trainer.verse.originality import REJECT
from trainer.verse.recipe import MAX_SEED, Recipe
from trainer.verse.text import sanitize, verse_text

MAX_COUNT = 4096  # verses: more than anybody reads
REPLAYED = 8  # the best verses, which are replayed; `trainer submit` replays whatever is chosen


@dataclass(frozen=True)
class AuditionRequest:
    """What an audition writes: verses spread evenly over every prompt at every temperature.

    Raises:
        OptionError: The count or the seed is out of bounds.
    """

    ckpt: Path  # a run's folder, or a checkpoint
    prompts: tuple[str, ...]  # "": a line feed
    temperatures: tuple[int, ...]  # hundredths
    top_k: int
    count: int  # verses in all
    seed: int  # the first one of each prompt and temperature
    tokens: int | None  # of a verse, at most; None for the default
    lines: int  # of a verse
    limits: Limits = DEFAULT_LIMITS  # of the event
    near: bool = False  # take the nearest characters that the model knows for those of a prompt that it does not

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", tuple(dict.fromkeys(self.prompts)))
        object.__setattr__(self, "temperatures", tuple(dict.fromkeys(self.temperatures)))
        combinations = len(self.prompts) * len(self.temperatures)
        if not combinations <= self.count <= MAX_COUNT:
            raise OptionError(
                f"--count must be {combinations:,} to {MAX_COUNT:,}, not {self.count:,}: at least one verse for each "
                f"of {len(self.prompts)} x {len(self.temperatures)} prompts and temperatures"
            )
        last_seed = self.seed + -(-self.count // combinations) - 1
        if self.seed >= 0 and last_seed > MAX_SEED:
            raise OptionError(
                f"--seed {self.seed:,} leaves no room for {self.count:,} verses, since seeds end with {MAX_SEED:,}: "
                f"give at most {self.seed - (last_seed - MAX_SEED):,}"
            )

    def recipes(self, checkpoint: Checkpoint) -> list[tuple[str, Recipe]]:
        """Return all recipes, each with its prompt in characters that the model knows.

        Raises:
            UnknownCharacter: A prompt holds a character that the model was not trained on.
            OptionError: A prompt holds a control character, or there is none and the model has no line feed.
            RecipeError: A value is out of bounds, or too long for this model.
        """
        prompts = dict.fromkeys(prepare_prompt(prompt, checkpoint.vocabulary, self.near) for prompt in self.prompts)
        combinations = list(product(prompts, self.temperatures))
        recipes = []
        for index, (prompt, temperature) in enumerate(combinations):
            count = self.count // len(combinations) + (index < self.count % len(combinations))
            for seed in range(self.seed, self.seed + count):
                recipe = make_recipe(checkpoint, prompt, temperature, seed, self.top_k, self.tokens, self.lines)
                recipes.append((prompt, recipe))
        return recipes

    def submit_command(self, prompt: str, recipe: Recipe) -> str:
        """Return the command that submits this verse, quoted for a shell."""
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
        return shell_join(words)


@dataclass(frozen=True)
class Candidate:
    """A verse to choose from."""

    prompt: str  # what it continues, "" for a line feed; not part of the verse
    recipe: Recipe
    text: str
    stats: VerseStats
    details: Sequence[str]  # the counts in words
    submit_command: str


@dataclass(frozen=True)
class Audition:
    """The result of an audition."""

    title: str  # which checkpoint wrote the verses
    verses: Sequence[Candidate]  # the best first
    written: int  # verses in all
    dropped: Mapping[str, int]  # how many, by reason
    criteria: str  # how the verses are ranked
    note: str | None  # what could not be checked

    @property
    def summary(self) -> str:
        """How many verses were kept, and why the others were dropped."""
        dropped = ", ".join(f"{number} {reason}" for reason, number in self.dropped.items())
        written = pluralize(self.written, "verse")
        return f"{written} by {self.title}: {len(self.verses)} kept; dropped: {dropped or 'none'}."


def write_candidates(
    request: AuditionRequest, checkpoint: Checkpoint, corpus: Corpus | None, note: str | None = None
) -> Audition:
    """Write the verses, drop those that cannot be submitted or that quote the corpus, and rank the rest.

    Args:
        request: What to write.
        checkpoint: The model that writes.
        corpus: The text it was trained on; None to skip known words and quotations.
        note: Why there is no corpus.

    Raises:
        SubmitError: No verse is left.
        UnknownCharacter: A prompt holds a character that the model was not trained on.
        OptionError: There is no prompt, and the model has no line feed.
        RecipeError: A value is out of bounds, or too long for this model.
    """
    recipes = request.recipes(checkpoint)
    model, vocabulary = verse_model(checkpoint), checkpoint.vocabulary
    verses = write_verses(model, vocabulary, [recipe for _, recipe in recipes], progress=True)
    scorer = Scorer(corpus)
    candidates: dict[str, tuple[Candidate, Written]] = {}  # by text
    dropped: Counter[str] = Counter()
    pairs = zip(recipes, verses, strict=True)
    for (prompt, recipe), written in tqdm(pairs, total=len(recipes), unit="verse", delay=1, leave=False, disable=None):
        if rejection := check_eligibility(vocabulary, written, request.limits):
            dropped[rejection.kind] += 1
            continue
        text = verse_text(vocabulary, recipe, written.ids)
        if text in candidates:
            dropped["duplicate"] += 1
            continue
        stats = scorer.measure(text, recipe.lines)
        if stats.is_quotation:
            dropped[f"quoting {REJECT} or more characters of {scorer.corpus_name}"] += 1
            continue
        command = request.submit_command(prompt, recipe)
        candidates[text] = Candidate(prompt, recipe, text, stats, scorer.describe(stats), command), written
    ranked = sorted(
        candidates.values(), key=lambda pair: (-pair[0].stats.score, -pair[0].stats.words)
    )  # ties keep their order
    replayed = [pair for pair in ranked[:REPLAYED] if check_rounding(model, pair[1]) is None]
    if lost := len(ranked[:REPLAYED]) - len(replayed):
        dropped["undecided"] += lost
    ranked = replayed + ranked[REPLAYED:]
    if not ranked:
        reasons = ", ".join(f"{number} {reason}" for reason, number in dropped.items())
        raise SubmitError(f"no verse is left ({reasons}): try another --temperature, --prompt or --seed")
    written_prompts = {prompt for prompt, _ in recipes}
    changed = [prompt for prompt in request.prompts if clean(prompt).text not in written_prompts]
    if changed:
        replaced = "; ".join(
            f"“{sanitize(p)}” as “{prepare_prompt(p, checkpoint.vocabulary, near=True)}”" for p in changed
        )
        note = f"{note or ''} Prompts with characters that the model does not know were taken {replaced}.".strip()
    kept = [verse for verse, _ in ranked]
    return Audition(sanitize(str(request.ckpt)), kept, len(recipes), dropped, scorer.criteria, note)
