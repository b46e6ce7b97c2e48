"""A checkpoint asked for a verse: the weights rounded as they are stored, then the one generator."""

from __future__ import annotations

from collections.abc import Callable

from tqdm import tqdm

from trainer.checkpoint import Checkpoint
from trainer.errors import OptionError
from trainer.tokenizer import tokenizer_for
from trainer.verse.config import ModelConfig
from trainer.verse.errors import NotText
from trainer.verse.generate import Written, regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.recipe import MAX_SEED, MAX_TOKENS, Recipe
from trainer.verse.text import readable, verse_text

DEFAULT_LINES = 8  # an event's usual limit
DEFAULT_TOKENS = 400  # enough for eight lines; a verse that runs on is cut
SAMPLE_LINES = 4  # while training: enough to see what was learned, cheap enough to do often
SAMPLE_TOKENS = 200
SAMPLE_TEMPERATURE = 80  # hundredths


def longest_verse(config: ModelConfig, prompt_tokens: int = 1) -> int:
    """The most tokens that a model can write after a prompt."""
    return config.block_size - prompt_tokens if config.arch == "gpt2" else MAX_TOKENS


def recipe_for(
    checkpoint: Checkpoint,
    prompt: str,
    temperature: int,
    seed: int,
    top_k: int = 0,
    tokens: int | None = None,
    lines: int = DEFAULT_LINES,
) -> Recipe:
    """A recipe with the usual length: 8 lines, and as many tokens as they need and the model has room for.

    Args:
        prompt: text; "" means one line feed.
        temperature: hundredths.
        tokens: length limit; None for the usual one.

    Raises:
        UnknownCharacter: the prompt holds a character that the model was not trained on.
        RecipeError: something is out of bounds, or too long for this model.
    """
    if not prompt and b"\n" not in checkpoint.vocabulary.tokens:
        raise OptionError("this model knows no line feed to begin with: give a --prompt")
    ids = tuple(tokenizer_for(checkpoint.vocabulary).encode(prompt or "\n").tolist())
    if tokens is None:
        tokens = max(1, min(DEFAULT_TOKENS, longest_verse(checkpoint.config, len(ids))))
    recipe = Recipe(ids, temperature, top_k, seed, tokens, lines)
    recipe.check_fits(checkpoint.config)
    return recipe


def write_verse(
    checkpoint: Checkpoint, recipe: Recipe, progress: Callable[[int], object] | None = None
) -> tuple[Written, str]:
    """What the checkpoint writes: the verse and its text.

    Raises:
        WeightsError: the weights cannot be stored as a bundle stores them.
        NotText: this seed writes no text.
    """
    written = _write(checkpoint, recipe, progress)
    return written, verse_text(checkpoint.vocabulary, recipe, written.ids)


def _write(checkpoint: Checkpoint, recipe: Recipe, progress: Callable[[int], object] | None = None) -> Written:
    model = VerseModel(checkpoint.config, round_weights(checkpoint.config, checkpoint.weights))
    [written] = regenerate(model, checkpoint.vocabulary, [recipe], progress)
    return written


def verse_with_progress(checkpoint: Checkpoint, recipe: Recipe) -> tuple[Written, str]:
    """The same, with a bar on a terminal where it takes more than a second."""
    with tqdm(total=recipe.tokens, unit="token", delay=1, leave=False, disable=None) as bar:
        return write_verse(checkpoint, recipe, bar.update)


def sample(checkpoint: Checkpoint, seed: int) -> str:
    """A few lines by a model in training; U+FFFD stands for what is no text, as it is with bytes that know little yet.

    Raises:
        WeightsError: as `write_verse`.
    """
    vocabulary = checkpoint.vocabulary
    prompt = "\n" if b"\n" in vocabulary.tokens else vocabulary.symbols[0]
    tokens = min(SAMPLE_TOKENS, longest_verse(checkpoint.config))
    recipe = recipe_for(checkpoint, prompt, SAMPLE_TEMPERATURE, seed % (MAX_SEED + 1), 0, tokens, SAMPLE_LINES)
    written = _write(checkpoint, recipe)
    try:
        return verse_text(vocabulary, recipe, written.ids)
    except NotText:
        return readable(vocabulary.decode(written.ids))
