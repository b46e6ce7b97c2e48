"""Vocabularies: what each token id spells, from plain data. This is the decoding half of a tokenizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trainer.verse.config import MAX_VOCAB_SIZE
from trainer.verse.errors import VocabularyError, short

MAX_TOKEN_BYTES = 16  # long enough for words; a token is never a whole line of somebody's poem
N_BYTES = 256  # a byte-level vocabulary starts with every byte


@dataclass(frozen=True)
class Vocabulary:
    r"""The symbols of a character tokenizer, or the merges of a byte-level BPE.

    >>> Vocabulary.chars("\n ab").decode([2, 3, 0])
    b'ab\n'
    >>> Vocabulary.bpe([(104, 105)]).decode([256, 33])
    b'hi!'
    """

    kind: str  # "char" or "bpe"
    symbols: str = ""  # char: symbol i is token i
    merges: tuple[tuple[int, int], ...] = ()  # bpe: merge i joins two earlier tokens into token 256 + i

    @classmethod
    def chars(cls, symbols: str) -> Vocabulary:
        """Make one token per character, in this order.

        Raises:
            VocabularyError: There are too few or too many symbols, a repeated one, or half a surrogate pair.
        """
        if not 2 <= len(symbols) <= MAX_VOCAB_SIZE:
            raise VocabularyError(f"a character tokenizer has 2 to {MAX_VOCAB_SIZE:,} symbols, not {len(symbols):,}")
        if len(set(symbols)) != len(symbols):
            repeated = Counter(symbols).most_common(1)[0][0]
            raise VocabularyError(f"the symbol {repeated!r} is repeated in the tokenizer")
        if any(0xD800 <= ord(symbol) <= 0xDFFF for symbol in symbols):
            raise VocabularyError("the tokenizer holds half a surrogate pair, which is not a character")
        return cls("char", symbols=symbols)

    @classmethod
    def bpe(cls, merges: Iterable[tuple[int, int]]) -> Vocabulary:
        """Make a token for each of the 256 bytes, then one per merge.

        Raises:
            VocabularyError: There are too many merges, one of a later token, or a token beyond `MAX_TOKEN_BYTES`.
        """
        merges = tuple((left, right) for left, right in merges)
        if N_BYTES + len(merges) > MAX_VOCAB_SIZE:
            raise VocabularyError(f"a tokenizer has at most {MAX_VOCAB_SIZE:,} tokens, not {N_BYTES + len(merges):,}")
        lengths = [1] * N_BYTES
        for index, pair in enumerate(merges):
            token = N_BYTES + index
            if not all(type(part) is int and 0 <= part < token for part in pair):
                raise VocabularyError(
                    f"merge {index} joins {short(pair[0])} and {short(pair[1])}, but only 0 to {token - 1} exist"
                )
            lengths.append(lengths[pair[0]] + lengths[pair[1]])
            if lengths[-1] > MAX_TOKEN_BYTES:
                raise VocabularyError(
                    f"token {token} is {lengths[-1]} bytes long; at most {MAX_TOKEN_BYTES} are allowed"
                )
        return cls("bpe", merges=merges)

    @cached_property
    def tokens(self) -> tuple[bytes, ...]:
        """The bytes of every token, by id."""
        if self.kind == "char":
            return tuple(symbol.encode() for symbol in self.symbols)
        tokens = [bytes([byte]) for byte in range(N_BYTES)]
        for left, right in self.merges:
            tokens.append(tokens[left] + tokens[right])
        return tuple(tokens)

    @property
    def size(self) -> int:
        """Number of tokens, the model's `vocab_size`."""
        return len(self.symbols) if self.kind == "char" else N_BYTES + len(self.merges)

    def decode(self, ids: Iterable[int]) -> bytes:
        """Return the tokens' bytes, joined. They need not be valid UTF-8."""
        return b"".join(self.tokens[token] for token in ids)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as a bundle stores it."""
        if self.kind == "char":
            return {"kind": "char", "symbols": self.symbols}
        return {"kind": "bpe", "merges": [list(pair) for pair in self.merges]}

    @classmethod
    def from_dict(cls, data: object) -> Vocabulary:
        """Read what `to_dict` wrote.

        Raises:
            VocabularyError: It is anything else.
        """
        match data:
            case {"kind": "char", "symbols": str(symbols), **rest} if not rest:
                return cls.chars(symbols)
            case {"kind": "bpe", "merges": list(merges), **rest} if not rest:
                if not all(isinstance(pair, list) and len(pair) == 2 for pair in merges):
                    raise VocabularyError("every merge must be a pair of token ids")
                return cls.bpe(merges)
        raise VocabularyError(
            'a tokenizer is {"kind": "char", "symbols": "…"} or {"kind": "bpe", "merges": [[a, b], …]}'
        )
