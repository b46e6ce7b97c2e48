r"""The longest passage that a verse shares with a text word for word, and where it is.

Both are folded first: words are runs of letters and digits, in casefolded form, with one space between two of them. So
case, punctuation, line ends and the number of spaces make no difference, and a length counts letters, digits and the
single spaces between words. A passage may begin and end within a word, or with the space beside it.

The limits were chosen by measuring people's own verse: 300 characters of the last tenth of a corpus share with the rest
of it 17 (Tiny Shakespeare) or 18 (folio) characters at the median, and 29 or 45 at most. Of 721 pieces, 2 reached 32.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLAG = 32  # characters in common: rare in what people write themselves
REJECT = 50  # characters in common: a quotation
MAX_SOURCE = 2**24  # characters of a text to compare with: sorting its suffixes takes about 120 bytes for each

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Passage:
    """The longest passage that a verse shares with a text.

    Of several passages of this length, it is the first in the verse, at its first place in the text.
    """

    length: int  # characters, folded; 0: they share no letter and no digit
    line: int  # of the text, from 1, in which it begins
    quoted: str  # as it is in the text


class Source:
    r"""A text that verses are compared with. Sorting its suffixes takes half a second for each million characters.

    >>> Source("Now sheathe\nthy swords;\n\n  the moon is up!").longest_passage("Sheathe!\nSwords, the Moon.")
    Passage(length=16, line=2, quoted='swords;\n\n  the moon')

    Raises:
        ValueError: The text has more than `MAX_SOURCE` characters.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_SOURCE:
            raise ValueError(f"the text has {len(text):,} characters; at most {MAX_SOURCE:,} can be compared with")
        self._text = text
        self._starts: list[tuple[int, int]] = []  # of each word: where it begins, folded and in the text
        words = []
        offset = 0
        for match in _WORD.finditer(text):
            words.append(match[0].casefold())
            self._starts.append((offset, match.start()))
            offset += len(words[-1]) + 1
        self._folded = " ".join(words)
        self._suffixes = _sorted_suffixes(self._folded).astype(np.int32).data  # a memoryview: fast single reads

    def longest_passage(self, verse: str) -> Passage:
        """Find the longest shared passage. The time grows with the verse's length, and hardly with the text's."""
        verse = fold(verse)
        best = ""  # the longest passage so far; at each start, only longer ones are tried
        for start in range(len(verse)):
            while start + len(best) < len(verse) and self._contains(longer := verse[start : start + len(best) + 1]):
                best = longer
        if best == " ":  # a space alone does not count, but a letter does
            best = next((letter for letter in verse if letter != " " and self._contains(letter)), "")
        if not best:
            return Passage(0, 0, "")
        first = self._find(best)
        after_last = bisect_right(self._suffixes, best, key=lambda start: self._slice(start, best))
        start = min(self._suffixes[first:after_last])
        first_letter = start + len(best) - len(best.lstrip(" "))
        last_letter = start + len(best.rstrip(" ")) - 1
        left, right = self._unfold(first_letter), self._unfold(last_letter) + 1
        return Passage(len(best), self._text.count("\n", 0, left) + 1, self._text[left:right])

    def _contains(self, piece: str) -> bool:
        index = self._find(piece)
        return index < len(self._suffixes) and self._slice(self._suffixes[index], piece) == piece

    def _find(self, piece: str) -> int:
        """Return the index of the first sorted suffix that is not before the piece."""
        return bisect_left(self._suffixes, piece, key=lambda start: self._slice(start, piece))

    def _slice(self, start: int, piece: str) -> str:
        return self._folded[start : start + len(piece)]

    def _unfold(self, offset: int) -> int:
        """Return the index in the text of a folded character that is not a space."""
        folded, index = self._starts[bisect_right(self._starts, offset, key=lambda start: start[0]) - 1]
        while (folded := folded + len(self._text[index].casefold())) <= offset:  # ß folds to two characters
            index += 1
        return index


def fold(text: str) -> str:
    r"""Return the words of a text, casefolded, with one space between two.

    >>> fold("  O'er the SEA --\n\nthe sea")
    'o er the sea the sea'
    """
    return " ".join(word.casefold() for word in _WORD.findall(text))


def _sorted_suffixes(text: str) -> NDArray[np.int64]:
    """Return the starts of the suffixes of a text, in the order of the suffixes: (len(text),).

    This is prefix doubling (Karp, Miller and Rosenberg; Manber and Myers): if the suffixes are ranked by their first h
    characters, then the pair of a suffix's rank and the rank of the suffix h later ranks them by 2h.
    """
    n = len(text)
    if n == 0:
        return np.empty(0, np.int64)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    symbols = np.flatnonzero(np.bincount(codes))
    ranks = np.searchsorted(symbols, codes)
    base = len(symbols) + 1  # 0 is the end of the text
    h = min(n, int(62 / np.log2(base)))  # as many characters as fit into one integer
    keys = np.zeros(n, np.int64)
    for ahead in range(h):
        keys *= base
        keys[: n - ahead] += ranks[ahead:] + 1
    order, ranks, tied = np.arange(n), np.empty(n, np.int64), np.arange(n)
    while True:  # tied: slots of the order whose suffixes are still equal to a neighbour
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
