"""What can be said of a verse by counting, and the score that ranks verses by it.

The score is no judge of poetry: it finds invented words, loops, verses that break off and borrowed passages, so that
people have fewer verses to read. NOTES.md has what it gives to people's own verse and to models at each temperature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from trainer.corpus import Corpus
from trainer.text import counted
from trainer.verse.originality import FLAG, REJECT, Passage, Source

WORDS_A_LINE = 4  # a verse with fewer is mostly names and gaps
FAULT = 10  # points, of 100: two verses of one model seldom differ as much in their words
SENTENCE_ENDS = ".!?…。！？"
CLOSING = "\"'”’»)] \n"  # what may follow the end of a sentence

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True)
class Merits:
    """What was counted in a verse."""

    words: int
    known: int | None  # of the words, those that the corpus has; None without a corpus
    fresh: int  # of the known words, those said for the first time in the verse; 0 without a corpus
    lines: int  # that are not empty
    asked: int  # lines, 0: any number
    finished: bool  # whether the end is the end of a sentence
    passage: Passage | None  # the longest that the corpus has, too; None without a corpus

    @property
    def short(self) -> bool:
        """Whether lines are missing."""
        return self.lines < self.asked

    @property
    def thin(self) -> bool:
        """Whether it says little: a few words are easily all known and all fresh."""
        return self.words < WORDS_A_LINE * max(self.asked, self.lines)

    @property
    def flagged(self) -> bool:
        """Whether the verse has more in common with the corpus than people's verse has."""
        return self.passage is not None and self.passage.length >= FLAG

    @property
    def quotes(self) -> bool:
        """Whether it is the corpus's verse rather than the model's."""
        return self.passage is not None and self.passage.length >= REJECT

    @property
    def score(self) -> float:
        """Points, 100 at the most."""
        fresh = 1.0 if self.known is None else self.fresh / max(1, self.words)
        return 100 * fresh - FAULT * (self.short + self.thin + self.flagged + (not self.finished))


class Judge:
    """Counts, with a corpus to compare with, or without one.

    Attributes:
        name: the corpus's, None without one.
    """

    def __init__(self, corpus: Corpus | None) -> None:
        self.name = corpus.name if corpus else None
        self._words = frozenset(words_of(corpus.text)) if corpus else None
        self._source = Source(corpus.text) if corpus else None

    def merits(self, text: str, asked: int) -> Merits:
        """Count in a verse for which so many lines were asked."""
        words = words_of(text)
        known = [word for word in words if self._words and word in self._words]
        return Merits(
            words=len(words),
            known=None if self._words is None else len(known),
            fresh=len(set(known)),
            lines=sum(bool(line.strip()) for line in text.split("\n")),
            asked=asked,
            finished=text.rstrip(CLOSING).endswith(tuple(SENTENCE_ENDS)),
            passage=self._source.longest_passage(text) if self._source else None,
        )

    @property
    def criteria(self) -> str:
        """How verses are ranked, in words."""
        less = (
            f"less {FAULT} each where the end is not the end of a sentence, where lines are missing, and where there "
            f"are fewer than {WORDS_A_LINE} words a line"
        )
        if self.name is None:
            return f"Score: 100, {less}."
        return (
            f"Known: a word of {self.name}. Fresh: known, and said for the first time in the verse. Score: fresh words "
            f"of 100, {less}; and where {FLAG} or more characters in a row stand in {self.name}."
        )

    def describe(self, merits: Merits) -> list[str]:
        """A verse's figures, its words first; with each fault, what it cost."""
        cost = f" (-{FAULT})"
        known = "" if merits.known is None else f", {merits.known} known, {merits.fresh} fresh"
        parts = [
            counted(merits.words, "word") + (cost if merits.thin else "") + known,
            f"{merits.lines} of {merits.asked} lines{cost}" if merits.short else counted(merits.lines, "line"),
        ]
        if not merits.finished:
            parts.append("ends within a sentence" + cost)
        if merits.passage and merits.passage.length:
            passage = merits.passage
            parts.append(
                f"at most {passage.length} characters as in {self.name}{cost if merits.flagged else ''}, "
                f"line {passage.line:,}: “{' '.join(passage.quoted.split())}”"
            )
        return parts


def words_of(text: str) -> list[str]:
    """Letters and digits, also around an apostrophe; capitals or not.

    >>> words_of("O'er the sea--THE sea")
    ["o'er", 'the', 'sea', 'the', 'sea']
    """
    return [word.casefold() for word in _WORD.findall(text)]
