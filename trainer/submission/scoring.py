"""Scores of verses: what can be counted in a verse, and the points by which verses are ranked.

The score does not judge poetry. It finds invented words, repetitions, incomplete verses and copied passages, so that
people have fewer verses to read. NOTES.md has the scores of people's own verse, and of models at each temperature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from trainer.corpus import Corpus
from trainer.text import pluralize
from trainer.verse.originality import FLAG, REJECT, Passage, Source

MIN_WORDS_PER_LINE = 4  # a verse with fewer is mostly names and empty space
PENALTY = 10  # points, of 100: the words of two verses of one model seldom differ as much
SENTENCE_ENDS = ".!?…。！？"
CLOSING = "\"'”’»)] \n"  # what may follow the end of a sentence

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True)
class VerseStats:
    """Counts of one verse."""

    words: int
    known: int | None  # words that are in the corpus; None without a corpus
    distinct: int  # different known words; 0 without a corpus
    lines: int  # that are not empty
    requested_lines: int  # 0: any number
    ends_sentence: bool  # whether the verse ends with a sentence
    passage: Passage | None  # the longest passage that is also in the corpus; None without a corpus

    @property
    def has_missing_lines(self) -> bool:
        """Whether there are fewer lines than requested."""
        return self.lines < self.requested_lines

    @property
    def has_few_words(self) -> bool:
        """Whether there are too few words to compare: a few words are often all known and all different."""
        return self.words < MIN_WORDS_PER_LINE * max(self.requested_lines, self.lines)

    @property
    def has_long_passage(self) -> bool:
        """Whether the verse shares more with the corpus than people's own verse does."""
        return self.passage is not None and self.passage.length >= FLAG

    @property
    def is_quotation(self) -> bool:
        """Whether the verse is mostly a passage of the corpus."""
        return self.passage is not None and self.passage.length >= REJECT

    @property
    def score(self) -> float:
        """Points, at most 100."""
        share = 1.0 if self.known is None else self.distinct / max(1, self.words)
        faults = self.has_missing_lines + self.has_few_words + self.has_long_passage + (not self.ends_sentence)
        return 100 * share - PENALTY * faults


class Scorer:
    """Count and score verses, with a corpus to compare with or without one.

    Attributes:
        corpus_name: None without a corpus.
    """

    def __init__(self, corpus: Corpus | None) -> None:
        self.corpus_name = corpus.name if corpus else None
        self._words = frozenset(words_of(corpus.text)) if corpus else None
        self._source = Source(corpus.text) if corpus else None

    def measure(self, text: str, requested_lines: int) -> VerseStats:
        """Return the counts of a verse of which this many lines were requested."""
        words = words_of(text)
        known = [word for word in words if self._words and word in self._words]
        return VerseStats(
            words=len(words),
            known=None if self._words is None else len(known),
            distinct=len(set(known)),
            lines=sum(bool(line.strip()) for line in text.split("\n")),
            requested_lines=requested_lines,
            ends_sentence=text.rstrip(CLOSING).endswith(tuple(SENTENCE_ENDS)),
            passage=self._source.longest_passage(text) if self._source else None,
        )

    @property
    def criteria(self) -> str:
        """How verses are ranked, in words."""
        penalties = (
            f"minus {PENALTY} each if the end is not the end of a sentence, if lines are missing, and if there are "
            f"fewer than {MIN_WORDS_PER_LINE} words per line"
        )
        if self.corpus_name is None:
            return f"Score: 100, {penalties}."
        return (
            f"Known: a word of {self.corpus_name}. Distinct: different known words. Score: 100 times the distinct "
            f"words divided by all words, {penalties}; and if {FLAG} or more characters in a row are in "
            f"{self.corpus_name}."
        )

    def describe(self, stats: VerseStats) -> list[str]:
        """Return a verse's counts in words, each fault with its penalty; the first one is about its words."""
        penalty = f" (-{PENALTY})"
        known = "" if stats.known is None else f", {stats.known} known, {stats.distinct} distinct"
        parts = [pluralize(stats.words, "word") + (penalty if stats.has_few_words else "") + known]
        if stats.has_missing_lines:
            parts.append(f"{stats.lines} of {stats.requested_lines} lines{penalty}")
        else:
            parts.append(pluralize(stats.lines, "line"))
        if not stats.ends_sentence:
            parts.append("ends within a sentence" + penalty)
        if stats.passage and stats.passage.length:
            passage = stats.passage
            parts.append(
                f"at most {passage.length} characters as in {self.corpus_name}"
                f"{penalty if stats.has_long_passage else ''}, "
                f"line {passage.line:,}: “{' '.join(passage.quoted.split())}”"
            )
        return parts


def words_of(text: str) -> list[str]:
    """Return the words of a text, casefolded: letters and digits, also around an apostrophe.

    >>> words_of("O'er the sea--THE sea")
    ["o'er", 'the', 'sea', 'the', 'sea']
    """
    return [word.casefold() for word in _WORD.findall(text)]
