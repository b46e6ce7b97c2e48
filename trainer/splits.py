"""How a text is divided: what a model is trained on, what it is evaluated on, and what merges are learned from."""

from __future__ import annotations

from collections.abc import Iterator

MAX_VALIDATION = 200_000  # characters: more tell a loss no better, and each evaluation takes time
PIECE_CHARACTERS = 1_000  # of a piece of text, split at a line feed: short enough to share among threads
CHARACTERS_PER_TOKEN = 512  # of the text that merges are learned from: more changes few of them, and takes time


def split_index(text: str) -> int:
    """Return the index of the first character of the validation split: the last tenth, at most `MAX_VALIDATION`."""
    return max(int(0.9 * len(text)), len(text) - MAX_VALIDATION)


def split_pieces(text: str) -> Iterator[str]:
    """Split a text after line feeds, which no token crosses, so that the pieces can be encoded separately."""
    start = 0
    while start < len(text):
        end = text.find("\n", start + PIECE_CHARACTERS) + 1 or len(text)
        yield text[start:end]
        start = end


def merge_pieces(text: str, vocab_size: int) -> list[str]:
    """Return the pieces that merges are learned from: all of a short text, or some at equal distances.

    Pieces of a long text begin and end anywhere, so that their size does not depend on its lines.

    Args:
        text: The training split.
        vocab_size: Tokens that are asked for; more need more text.
    """
    count = -(-CHARACTERS_PER_TOKEN * vocab_size // PIECE_CHARACTERS)
    if count * PIECE_CHARACTERS >= len(text):
        return list(split_pieces(text))
    starts = [index * len(text) // count for index in range(count)]
    return [text[start : start + PIECE_CHARACTERS] for start in starts]
