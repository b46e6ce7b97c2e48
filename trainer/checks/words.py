"""Byte pair encoding without a library: a text as words, their tokens, and the merges that it could have given."""

from __future__ import annotations

import heapq
import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache

from trainer.verse.vocabulary import MAX_TOKEN_CHARACTERS, Vocabulary

MIN_COUNT = 2  # of a pair in the text to become a token, as in training
MAX_MERGES = 8192  # compared with the text; a longer list is compared so far

Pair = tuple[int, int]


def split_words(text: str) -> Iterator[str]:
    r"""Split a text at line feeds, then as GPT-2 does: the space before a word belongs to it.

    >>> list(split_words("to be, or\nnot"))
    ['to', ' be', ',', ' or', '\n', 'not']
    """
    return (match.group() for match in _pattern("".join(sorted(set(text)))).finditer(text))


@cache
def _pattern(characters: str) -> re.Pattern[str]:
    """Return GPT-2's rule for a text with these characters: `re` itself has no classes of Unicode."""
    letters, numbers = (
        "".join(re.escape(c) for c in characters if unicodedata.category(c)[0] == kind) or "a" for kind in "LN"
    )
    other = rf" ?[^\s{letters}{numbers}]+"
    return re.compile(rf"\n|'s|'t|'re|'ve|'m|'ll|'d| ?[{letters}]+| ?[{numbers}]+|{other}|[^\S\n]+(?!\S)|[^\S\n]+")


def encode(vocabulary: Vocabulary, text: str) -> list[int] | None:
    """Return the token ids of a text: in each word, the earliest merge first. None if it has an unknown character."""
    symbols = {symbol: token for token, symbol in enumerate(vocabulary.symbols)}
    if not set(text) <= symbols.keys():
        return None
    if not vocabulary.merges:
        return [symbols[symbol] for symbol in text]
    ranks = {pair: rank for rank, pair in enumerate(vocabulary.merges)}
    known: dict[str, list[int]] = {}
    ids: list[int] = []
    for word in split_words(text):
        if word not in known:
            tokens = [symbols[symbol] for symbol in word]
            while len(tokens) > 1:
                rank = min(ranks.get(pair, len(ranks)) for pair in itertools.pairwise(tokens))
                if rank == len(ranks):
                    break
                tokens = _join(tokens, vocabulary.merges[rank], len(symbols) + rank)
            known[word] = tokens
        ids += known[word]
    return ids


def _join(tokens: list[int], pair: Pair, token: int) -> list[int]:
    """Return the tokens with every occurrence of the pair replaced, from left to right."""
    joined: list[int] = []
    at = 0
    while at < len(tokens):
        if at + 1 < len(tokens) and (tokens[at], tokens[at + 1]) == pair:
            joined.append(token)
            at += 2
        else:
            joined.append(tokens[at])
            at += 1
    return joined


def foreign_merges(pieces: Sequence[str], vocabulary: Vocabulary) -> list[int]:
    """Return the merges, by index, that training on these pieces of text would not have made.

    At each step the most frequent pair of neighbours becomes a token. Of equally frequent pairs any may be first.

    >>> foreign_merges(["to be or not to be"], Vocabulary.bpe(" benort", [(1, 2), (6, 4), (0, 7)]))
    []
    >>> foreign_merges(["to be or not to be"], Vocabulary.bpe(" benort", [(1, 2), (4, 5)]))
    [1]

    Args:
        pieces: Of the training split; words end at characters that the vocabulary lacks.
        vocabulary: With the merges, each of two earlier tokens.
    """
    symbols = {symbol: token for token, symbol in enumerate(vocabulary.symbols)}
    text = "\n".join(pieces)
    counted = Counter(split_words(text.translate({ord(symbol): "\n" for symbol in set(text) - symbols.keys()})))
    counted.pop("\n", None)
    words = [[symbols[symbol] for symbol in word] for word in counted]
    weights = list(counted.values())
    counts: Counter[Pair] = Counter()
    places: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, word in enumerate(words):
        for pair in itertools.pairwise(word):
            counts[pair] += weights[index]
            places[pair].add(index)
    lengths = [1] * len(symbols)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    foreign = []
    for rank, pair in enumerate(vocabulary.merges[:MAX_MERGES]):
        token = len(symbols) + rank
        lengths.append(lengths[pair[0]] + lengths[pair[1]])
        while heap and (
            counts[heap[0][1]] != -heap[0][0] or lengths[heap[0][1][0]] + lengths[heap[0][1][1]] > MAX_TOKEN_CHARACTERS
        ):
            heapq.heappop(heap)  # out of date, or too long to become a token
        most = -heap[0][0] if heap else 0
        if counts[pair] < max(most, MIN_COUNT):
            foreign.append(rank)
        changed: set[Pair] = set()
        for index in places.pop(pair, set()):
            before = words[index]
            after = words[index] = _join(before, pair, token)
            for old in itertools.pairwise(before):
                counts[old] -= weights[index]
                changed.add(old)
            for new in itertools.pairwise(after):
                counts[new] += weights[index]
                places[new].add(index)
                changed.add(new)
        for one in changed:
            if counts[one] > 0:
                heapq.heappush(heap, (-counts[one], one))
    return foreign
