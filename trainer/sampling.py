"""Sampling from a checkpoint: weights rounded as a bundle stores them, then the one generator of `trainer.verse`."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from trainer.checkpoint import Checkpoint
from trainer.errors import OptionError
from trainer.tokenizer import tokenizer_for
from trainer.verse.config import ModelConfig
from trainer.verse.errors import NotText
from trainer.verse.generate import Written, regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.recipe import MAX_SEED, MAX_TOKENS, Recipe
from trainer.verse.text import replace_controls, verse_text
from trainer.verse.vocabulary import Vocabulary

DEFAULT_LINES = 8  # an event's usual limit
DEFAULT_TOKENS = 400  # enough for eight lines; a longer verse is cut
SAMPLE_LINES = 4  # while training: enough to see what was learned, cheap enough to do often
SAMPLE_TOKENS = 200
SAMPLE_TEMPERATURE = 80  # hundredths


def max_verse_tokens(config: ModelConfig, prompt_tokens: int = 1) -> int:
    """Return the most tokens that a model can write after a prompt of this many tokens."""
    return config.block_size - prompt_tokens if config.arch == "gpt2" else MAX_TOKENS


def make_recipe(
    checkpoint: Checkpoint,
    prompt: str,
    temperature: int,
    seed: int,
    top_k: int = 0,
    tokens: int | None = None,
    lines: int = DEFAULT_LINES,
) -> Recipe:
    """Return a recipe for this checkpoint, with the default length unless another one is given.

    Args:
        checkpoint: The model that is to write.
        prompt: Text to continue; "" means one line feed.
        temperature: Hundredths.
        seed: 0 to 2^32-1.
        top_k: Candidates of a decision; 0 for all.
        tokens: Most tokens to write; None for 400, or fewer if the model cannot write as many.
        lines: Non-empty lines to write; 0 to stop by `tokens` alone.

    Raises:
        UnknownCharacter: The prompt holds a character that the model was not trained on.
        OptionError: There is no prompt, and the model has no line feed.
        RecipeError: A value is out of bounds, or too long for this model.
    """
    if not prompt and "\n" not in checkpoint.vocabulary.symbols:
        raise OptionError("this model has no line feed to start from: give a --prompt")
    ids = tuple(tokenizer_for(checkpoint.vocabulary).encode(prompt or "\n").tolist())
    if tokens is None:
        tokens = max(1, min(DEFAULT_TOKENS, max_verse_tokens(checkpoint.config, len(ids))))
    recipe = Recipe(ids, temperature, top_k, seed, tokens, lines)
    recipe.check_fits(checkpoint.config)
    return recipe


def verse_model(checkpoint: Checkpoint) -> VerseModel:
    """Return the model that writes verses: with the weights as a bundle stores them.

    Raises:
        WeightsError: The weights cannot be stored as a bundle stores them.
    """
    return VerseModel(checkpoint.config, round_weights(checkpoint.config, checkpoint.weights))


def write_verses(
    model: VerseModel, vocabulary: Vocabulary, recipes: Sequence[Recipe], progress: bool = False
) -> list[Written]:
    """Write one verse per recipe, in their order.

    Args:
        model: The model that writes.
        vocabulary: What its tokens spell.
        recipes: What to write.
        progress: Show a bar on a terminal if it takes more than a second.
    """
    total = sum(recipe.tokens for recipe in recipes)
    with tqdm(total=total, unit="token", delay=1, leave=False, disable=None if progress else True) as bar:
        return regenerate(model, vocabulary, recipes, bar.update)


def write_sample(checkpoint: Checkpoint, seed: int) -> str:
    """Write a few lines with a model in training; U+FFFD replaces control characters.

    Raises:
        WeightsError: The weights cannot be stored as a bundle stores them.
    """
    vocabulary = checkpoint.vocabulary
    prompt = "\n" if "\n" in vocabulary.symbols else vocabulary.symbols[0]
    tokens = min(SAMPLE_TOKENS, max_verse_tokens(checkpoint.config))
    recipe = make_recipe(checkpoint, prompt, SAMPLE_TEMPERATURE, seed % (MAX_SEED + 1), 0, tokens, SAMPLE_LINES)
    [written] = write_verses(verse_model(checkpoint), vocabulary, [recipe])
    try:
        return verse_text(vocabulary, recipe, written.ids)
    except NotText:
        return replace_controls(vocabulary.decode(written.ids))
