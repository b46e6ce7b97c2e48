"""Tokenizers: text to token ids, one per character or one per piece of a word.

Decoding is in `trainer.verse.vocabulary`, since it is part of a verse.
"""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainer.errors import CheckpointError, CorpusError, UnknownCharacter
from trainer.splits import merge_pieces, split_pieces
from trainer.verse.vocabulary import MAX_TOKEN_CHARACTERS, Vocabulary

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer

MIN_FREQUENCY = 2  # of a pair in the text to become a token: one occurrence teaches nothing
CHARACTERS = 2**20  # encoded at once: a text of 60 MB must not take a gigabyte
PIECES = 1000  # encoded at once, since the library keeps offsets and more for each
WORD = r"\n|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|[^\S\n]+(?!\S)|[^\S\n]+"  # GPT-2's


class Tokenizer(ABC):
    """Convert text to token ids and back.

    Attributes:
        vocabulary: What each id spells.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    @property
    def size(self) -> int:
        """Number of tokens."""
        return self.vocabulary.size

    @abstractmethod
    def encode(self, text: str) -> NDArray[np.int32]:
        """Return the token ids of a text, (N,).

        Raises:
            UnknownCharacter: No tokens spell one of the characters.
        """

    def decode(self, ids: NDArray[np.integer]) -> str:
        """Return the text that the ids spell."""
        return self.vocabulary.decode(ids.tolist())


def tokenizer_for(vocabulary: Vocabulary) -> Tokenizer:
    """Return the tokenizer of this vocabulary."""
    return CharTokenizer(vocabulary) if vocabulary.kind == "char" else BPETokenizer(vocabulary)


class CharTokenizer(Tokenizer):
    r"""One token per character, ids in the order of the code points.

    >>> tokenizer = CharTokenizer.of("to be\n")
    >>> tokenizer.vocabulary.symbols
    '\n beot'
    >>> tokenizer.encode("bet").tolist()
    [2, 3, 5]
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        if vocabulary.kind != "char":
            raise CheckpointError(f"expected a character tokenizer, but this one is of the kind {vocabulary.kind}")
        super().__init__(vocabulary)
        self._ids = np.full(sys.maxunicode + 1, -1, np.int32)  # by code point; -1: not a token
        self._ids[[ord(symbol) for symbol in vocabulary.symbols]] = np.arange(self.size)

    @classmethod
    def of(cls, text: str) -> CharTokenizer:
        """Make a token for each character of the text.

        Raises:
            VocabularyError: The text has a single symbol, or too many.
        """
        return cls(Vocabulary.chars("".join(sorted(set(text)))))

    def encode(self, text: str) -> NDArray[np.int32]:
        """Return the token ids, one per character.

        Raises:
            UnknownCharacter: A character is not a token.
        """
        encoded = np.empty(len(text), np.int32)
        for start in range(0, len(text), CHARACTERS):
            piece = text[start : start + CHARACTERS]
            ids = self._ids[np.frombuffer(piece.encode("utf-32-le", "surrogatepass"), dtype="<u4")]
            if ids.min() < 0:
                raise UnknownCharacter(text, start + int(ids.argmin()), self.vocabulary.symbols)
            encoded[start : start + len(piece)] = ids
        return encoded


class BPETokenizer(Tokenizer):
    r"""Byte pair encoding on characters: each is a token, then the most frequent pair of neighbours, repeatedly.

    Pairs are joined within words only. The space before a word belongs to the word; a line feed is a word of its own.
    Tokens are whole characters of the corpus, not bytes: so whatever a model writes is text, from its first step on.

    >>> tokenizer = BPETokenizer.of("to be or not to be", 10)
    >>> tokenizer.vocabulary.tokens
    (' ', 'b', 'e', 'n', 'o', 'r', 't', ' b', 'to', ' be')
    >>> tokenizer.encode("to be").tolist()
    [8, 9]

    Source: Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016); words are split as
    by Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        from tokenizers import Tokenizer as Library
        from tokenizers.models import BPE

        if vocabulary.kind != "bpe":
            raise CheckpointError(f"expected a bpe tokenizer, but this one is of the kind {vocabulary.kind}")
        super().__init__(vocabulary)
        tokens = vocabulary.tokens
        merges = [(tokens[left], tokens[right]) for left, right in vocabulary.merges]
        self._library = Library(BPE({text: token for token, text in enumerate(tokens)}, merges))
        self._library.pre_tokenizer = _words()

    @classmethod
    def of(cls, text: str, vocab_size: int, symbols: str | None = None) -> BPETokenizer:
        """Learn the merges of a text, or of a part of a long one, the same ones on any number of threads.

        Args:
            text: The training split.
            vocab_size: Most tokens, characters included; a short text gives fewer.
            symbols: The characters that are tokens, all of the text among them; None for those of the text.

        Raises:
            CorpusError: There are as many characters as tokens, or more.
            VocabularyError: There is a single character.
        """
        from tokenizers import Tokenizer as Library
        from tokenizers.models import BPE
        from tokenizers.trainers import BpeTrainer

        symbols = "".join(sorted(set(text))) if symbols is None else symbols
        if len(symbols) >= vocab_size:
            raise CorpusError(
                f"the corpus has {len(symbols):,} different characters, which are tokens, too: give a --vocab-size of "
                "more than that, or --tokenizer char"
            )
        library = Library(BPE())
        library.pre_tokenizer = _words()
        trainer = BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=MIN_FREQUENCY,
            initial_alphabet=list(symbols),
            max_token_length=MAX_TOKEN_CHARACTERS + 1,  # the library makes shorter ones only
            show_progress=False,
        )
        library.train_from_iterator(merge_pieces(text, vocab_size), trainer)
        # Text between two token boundaries is always split in the same way, so no two merges make the same string.
        pairs = json.loads(library.to_str())["model"]["merges"]
        joined = ["".join(pair) for pair in pairs]
        ids = {name: token for token, name in enumerate([*symbols, *joined])}
        return cls(Vocabulary.bpe(symbols, [(ids[left], ids[right]) for left, right in pairs]))

    def encode(self, text: str) -> NDArray[np.int32]:
        """Return the token ids, (N,).

        Raises:
            UnknownCharacter: A character is not a token.
        """
        if unknown := set(text).difference(self.vocabulary.symbols):
            raise UnknownCharacter(text, min(map(text.index, unknown)), self.vocabulary.symbols)
        pieces = list(split_pieces(text))
        groups = (pieces[start : start + PIECES] for start in range(0, len(pieces), PIECES))
        encoded = (self._library.encode_batch_fast(group, add_special_tokens=False) for group in groups)
        return np.fromiter((token for group in encoded for piece in group for token in piece.ids), dtype=np.int32)


def _words() -> PreTokenizer:
    """Return the rule that splits text into words: at line feeds, then as GPT-2 does. It never comes from a file."""
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Split

    words: PreTokenizer = Split(Regex(WORD), "isolated")
    return words
