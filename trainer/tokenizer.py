"""Text to token ids, one character a token. (The way back is `trainer.verse.vocabulary`: it is part of a verse.)"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.errors import CheckpointError, UnknownCharacter
from trainer.verse.vocabulary import Vocabulary


class CharTokenizer:
    r"""One token a character; ids go by the characters' order.

    >>> tokenizer = CharTokenizer.of("to be\n")
    >>> tokenizer.vocabulary.symbols
    '\n beot'
    >>> tokenizer.encode("bet").tolist()
    [2, 3, 5]

    Attributes:
        vocabulary: what each id spells.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        if vocabulary.kind != "char":
            raise CheckpointError(f"this trainer reads character tokenizers; here is one of the kind {vocabulary.kind}")
        self.vocabulary = vocabulary
        self._codes = np.array([ord(symbol) for symbol in vocabulary.symbols])
        self._order = np.argsort(self._codes)

    @classmethod
    def of(cls, text: str) -> CharTokenizer:
        """A token for each character of the text.

        Raises:
            VocabularyError: the text has a single symbol, or too many.
        """
        return cls(Vocabulary.chars("".join(sorted(set(text)))))

    @property
    def size(self) -> int:
        """Number of tokens."""
        return self.vocabulary.size

    def encode(self, text: str) -> NDArray[np.int64]:
        """Token ids, one a character.

        Raises:
            UnknownCharacter: a character that is no token.
        """
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)
        ids = self._order[np.searchsorted(self._codes, codes, sorter=self._order).clip(max=self.size - 1)]
        unknown = np.flatnonzero(self._codes[ids] != codes)
        if len(unknown):
            raise UnknownCharacter(text[unknown[0]], int(unknown[0]), self.vocabulary.symbols)
        encoded: NDArray[np.int64] = ids.astype(np.int64)
        return encoded

    def decode(self, ids: NDArray[np.integer]) -> str:
        """The text that the ids spell."""
        return self.vocabulary.decode(ids.tolist()).decode()
