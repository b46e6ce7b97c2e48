"""Vocabularies: what each token id spells, from plain data. This is the decoding half of a tokenizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trainer.verse.config import MAX_VOCAB_SIZE
from trainer.verse.errors import VocabularyError, short

MAX_TOKEN_CHARACTERS = 16  # long enough for words; a token is never a whole line of somebody's poem


@dataclass(frozen=True)
class Vocabulary:
    r"""The symbols of a tokenizer, and the merges of byte pair encoding on characters.

    >>> Vocabulary.chars("\n ab").decode([2, 3, 0])
    'ab\n'
    >>> Vocabulary.bpe("!hi", [(1, 2)]).decode([3, 0])
    'hi!'
    """

    kind: str  # "char" or "bpe"
    symbols: str  # symbol i is token i
    merges: tuple[tuple[int, int], ...] = ()  # of bpe: merge i joins two earlier tokens into token len(symbols) + i

    @classmethod
    def chars(cls, symbols: str) -> Vocabulary:
        """Make one token per character, in this order.

        Raises:
            VocabularyError: There are too few or too many symbols, a repeated one, or half a surrogate pair.
        """
        return cls._checked("char", symbols, ())

    @classmethod
    def bpe(cls, symbols: str, merges: Iterable[tuple[int, int]]) -> Vocabulary:
        """Make one token per character, then one per merge.

        Raises:
            VocabularyError: As for `chars`; or there are too many merges, one of a later token, or a token beyond
                `MAX_TOKEN_CHARACTERS`.
        """
        return cls._checked("bpe", symbols, tuple((left, right) for left, right in merges))

    @classmethod
    def _checked(cls, kind: str, symbols: str, merges: tuple[tuple[int, int], ...]) -> Vocabulary:
        if not 2 <= len(symbols) <= MAX_VOCAB_SIZE:
            raise VocabularyError(f"a tokenizer has 2 to {MAX_VOCAB_SIZE:,} symbols, not {len(symbols):,}")
        if len(set(symbols)) != len(symbols):
            repeated = Counter(symbols).most_common(1)[0][0]
            raise VocabularyError(f"the symbol {repeated!r} is repeated in the tokenizer")
        if any(0xD800 <= ord(symbol) <= 0xDFFF for symbol in symbols):
            raise VocabularyError("the tokenizer holds half a surrogate pair, which is not a character")
        if (size := len(symbols) + len(merges)) > MAX_VOCAB_SIZE:
            raise VocabularyError(f"a tokenizer has at most {MAX_VOCAB_SIZE:,} tokens, not {size:,}")
        lengths = [1] * len(symbols)
        for index, pair in enumerate(merges):
            token = len(lengths)
            if not all(type(part) is int and 0 <= part < token for part in pair):
                raise VocabularyError(
                    f"merge {index} joins {short(pair[0])} and {short(pair[1])}, but only 0 to {token - 1} exist"
                )
            lengths.append(lengths[pair[0]] + lengths[pair[1]])
            if lengths[-1] > MAX_TOKEN_CHARACTERS:
                raise VocabularyError(
                    f"token {token} has {lengths[-1]} characters; at most {MAX_TOKEN_CHARACTERS} are allowed"
                )
        return cls(kind, symbols, merges)

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """The text of every token, by id."""
        tokens = list(self.symbols)
        for left, right in self.merges:
            tokens.append(tokens[left] + tokens[right])
        return tuple(tokens)

    @property
    def size(self) -> int:
        """Number of tokens, the model's `vocab_size`."""
        return len(self.symbols) + len(self.merges)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of the tokens, joined. It may hold characters that no verse may have."""
        return "".join(self.tokens[token] for token in ids)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as a bundle stores it."""
        if self.kind == "char":
            return {"kind": "char", "symbols": self.symbols}
        return {"kind": "bpe", "symbols": self.symbols, "merges": [list(pair) for pair in self.merges]}

    @classmethod
    def from_dict(cls, data: object) -> Vocabulary:
        """Read what `to_dict` wrote.

        Raises:
            VocabularyError: It is anything else.
        """
        match data:
            case {"kind": "char", "symbols": str(symbols), **rest} if not rest:
                return cls.chars(symbols)
            case {"kind": "bpe", "symbols": str(symbols), "merges": list(merges), **rest} if not rest:
                if not all(isinstance(pair, list) and len(pair) == 2 for pair in merges):
                    raise VocabularyError("every merge must be a pair of token ids")
                return cls.bpe(symbols, merges)
        raise VocabularyError(
            'a tokenizer is {"kind": "char", "symbols": "…"} or {"kind": "bpe", "symbols": "…", "merges": [[a, b], …]}'
        )
