r"""How much of a verse stands in a text word for word: the longest passage that they share, and where.

Both are folded first: words are runs of letters and digits, in casefolded form, with one space between two of them. So
case, punctuation, line ends and the number of spaces make no difference, and a length counts letters, digits and the
single spaces between words. A passage may begin and end within a word, or with the space beside it.

By this measure people's own verse, 300 characters of the last tenth of a corpus against the rest of it, shares 17
(Tiny Shakespeare) or 18 (folio) characters at the median, and 29 or 45 at the most; 2 pieces of 721 reached 32. Hence
the two marks.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLAG = 32  # characters in common: rare in what people write themselves
REJECT = 50  # characters in common: a quotation
MAX_SOURCE = 2**24  # characters of a text to compare with: sorting its suffixes takes some 120 bytes for each

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Passage:
    """The longest passage that a verse shares with a text.

    Of several, it is the first in the verse, and its first place in the text.
    """

    length: int  # characters, folded; 0: they share no letter and no digit
    line: int  # of the text, from 1, in which it begins
    quoted: str  # as the text has it


class Source:
    r"""A text that verses are compared with, its suffixes sorted: half a second for each million characters.

    >>> Source("Now sheathe\nthy swords;\n\n  the moon is up!").longest_passage("Sheathe!\nSwords, the Moon.")
    Passage(length=16, line=2, quoted='swords;\n\n  the moon')

    Raises:
        ValueError: it has more than `MAX_SOURCE` characters.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_SOURCE:
            raise ValueError(f"the text has {len(text):,} characters; at most {MAX_SOURCE:,} can be compared with")
        self._text = text
        self._starts: list[tuple[int, int]] = []  # of each word: where it begins, folded and in the text
        words = []
        at = 0
        for match in _WORD.finditer(text):
            words.append(match[0].casefold())
            self._starts.append((at, match.start()))
            at += len(words[-1]) + 1
        self._folded = " ".join(words)
        self._suffixes = _sorted_suffixes(self._folded).astype(np.int32).data  # read one by one, this is the quickest

    def longest_passage(self, verse: str) -> Passage:
        """Find it. The time grows with the verse's length and hardly with the text's."""
        verse = fold(verse)
        best = ""  # the longest passage so far; a longer one at each start is one that has a character more
        for start in range(len(verse)):
            while start + len(best) < len(verse) and self._holds(longer := verse[start : start + len(best) + 1]):
                best = longer
        if best == " ":  # a space alone is no passage; one letter may still be
            best = next((letter for letter in verse if letter != " " and self._holds(letter)), "")
        if not best:
            return Passage(0, 0, "")
        first = self._find(best)
        behind = bisect_right(self._suffixes, best, key=lambda at: self._cut(at, best))
        at = min(self._suffixes[first:behind])
        begin = at + len(best) - len(best.lstrip(" "))  # the first letter, and the last
        end = at + len(best.rstrip(" ")) - 1
        left, right = self._place(begin), self._place(end) + 1
        return Passage(len(best), self._text.count("\n", 0, left) + 1, self._text[left:right])

    def _holds(self, piece: str) -> bool:
        at = self._find(piece)
        return at < len(self._suffixes) and self._cut(self._suffixes[at], piece) == piece

    def _find(self, piece: str) -> int:
        """The first of the sorted suffixes that is not before the piece."""
        return bisect_left(self._suffixes, piece, key=lambda at: self._cut(at, piece))

    def _cut(self, at: int, piece: str) -> str:
        return self._folded[at : at + len(piece)]

    def _place(self, at: int) -> int:
        """Where a folded character that is no space stands in the text."""
        folded, place = self._starts[bisect_right(self._starts, at, key=lambda start: start[0]) - 1]
        while (folded := folded + len(self._text[place].casefold())) <= at:  # as of ß, it may be more than one
            place += 1
        return place


def fold(text: str) -> str:
    r"""The words, casefolded, with one space between two.

    >>> fold("  O'er the SEA --\n\nthe sea")
    'o er the sea the sea'
    """
    return " ".join(word.casefold() for word in _WORD.findall(text))


def _sorted_suffixes(text: str) -> NDArray[np.int64]:
    """Where the suffixes of a text begin, in the order of the suffixes: (len(text),).

    By prefix doubling (Karp, Miller and Rosenberg; Manber and Myers): sorted by their first h characters, suffixes are
    sorted by 2h when each is also given the rank of the one h further on.
    """
    n = len(text)
    if n == 0:
        return np.empty(0, np.int64)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    symbols = np.flatnonzero(np.bincount(codes))
    ranks = np.searchsorted(symbols, codes)
    base = len(symbols) + 1  # 0 stands for the end
    h = min(n, int(62 / np.log2(base)))  # as many characters as one integer holds
    keys = np.zeros(n, np.int64)
    for ahead in range(h):
        keys *= base
        keys[: n - ahead] += ranks[ahead:] + 1
    order, ranks, tied = np.arange(n), np.empty(n, np.int64), np.arange(n)
    while True:  # tied: slots of the order whose suffixes are not yet told from a neighbour
        by = np.argsort(keys)
        keys = keys[by]
        order[tied] = order[tied[by]]
        first = np.concatenate(([True], keys[1:] != keys[:-1]))  # of those with equal keys
        ranks[order[tied]] = tied[np.maximum.accumulate(np.where(first, np.arange(len(tied)), 0))]
        tied = tied[~(first & np.append(first[1:], True))]
        if not len(tied):
            return order
        starts = order[tied]
        ahead = starts + h
        keys = ranks[starts] * (n + 1) + np.where(ahead < n, ranks[np.minimum(ahead, n - 1)] + 1, 0)
        h *= 2
