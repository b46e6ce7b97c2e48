"""The poets of the demo: the prompt of each, and the verse that each chooses after an audition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

LINES = 4  # of a verse; short ones make sense more often
TOKENS = 120  # of a verse, at most: four lines of the folio have about 75; what an event shows has room for 120 of any
TEMPERATURES = ("0.6", "0.7")  # below, verses repeat themselves; above, words are invented
MIN_LINES = 3  # of a verse to be preferred
MIN_KNOWN = 0.85  # of its words that are in the corpus, to be preferred


@dataclass(frozen=True)
class Poet:
    """One participant of the demo."""

    name: str
    prompt: str


# The pages show the verse without its prompt: a prompt that ends with a line feed lets it begin with a whole line. One
# that ends within a sentence lets the same speaker go on.
POETS = (
    Poet("Aurora", "The moon is up,\n"),
    Poet("Bram", "O love, be kind,\n"),
    Poet("Chandra", "When winter comes,\n"),
    Poet("Dilys", "The sea is wide,\n"),
    Poet("Emeka", "My heart is sore,\n"),
    Poet("Freya", "Good night, my lady,\n"),
    Poet("Goro", "If I should sing,\n"),
    Poet("Hana", "Farewell, sweet friend,\n"),
)


@dataclass(frozen=True)
class Verse:
    """A verse of an audition: what `trainer submit` needs to write it again, and what `trainer audition` counted."""

    model: Path  # a checkpoint or a bundle
    prompt: str
    temperature: str  # as an option's value
    seed: int
    text: str
    score: float  # higher is better
    words: int
    known: int  # words that are in the corpus
    lines: int  # that are not empty

    @property
    def first_line(self) -> str:
        """The first line that is not empty."""
        return self.text.strip().split("\n")[0].strip()

    @property
    def has_one_speaker(self) -> bool:
        """Whether it is one passage: no empty line, and no line that is a speaker's name, as in a play."""
        return all(line.strip() and not line.endswith(":") for line in self.text.strip("\n").split("\n"))

    @property
    def is_presentable(self) -> bool:
        """Whether it has enough lines, and mostly words of the corpus."""
        return self.lines >= MIN_LINES and self.known >= MIN_KNOWN * self.words > 0


def choose_verses(verses: Sequence[Verse], poets: Sequence[Poet] = POETS) -> dict[Poet, Verse]:
    """Choose the best verse for each poet, no two with the same first line.

    Each poet takes a verse of the own prompt, if there is one, and a seed that no other poet took, if there is one:
    equal seeds make equal choices, so their verses are alike even after different prompts.

    Args:
        verses: of the audition.
        poets: who choose, in this order.

    Returns:
        The verse of each poet; nothing for poets beyond the number of different verses.
    """
    ranked = sorted(verses, key=lambda verse: (verse.is_presentable, verse.has_one_speaker, verse.score), reverse=True)
    chosen: dict[Poet, Verse] = {}
    first_lines: set[str] = set()
    seeds: set[int] = set()
    wishes: tuple[Callable[[Poet, Verse], bool], ...] = (
        lambda poet, verse: verse.prompt == poet.prompt and verse.seed not in seeds,
        lambda poet, verse: verse.prompt == poet.prompt,
        lambda poet, verse: True,
    )
    for wish in wishes:
        for poet in poets:
            for verse in ranked if poet not in chosen else ():
                if verse.first_line not in first_lines and wish(poet, verse):
                    chosen[poet] = verse
                    first_lines.add(verse.first_line)
                    seeds.add(verse.seed)
                    break
    return {poet: chosen[poet] for poet in poets if poet in chosen}


def known_share(verses: Sequence[Verse]) -> float:
    """Return the share of all words in the verses that are in the corpus, 0 to 1.

    A word is what `trainer audition` counts as one: letters and digits, whatever their case.
    """
    return sum(verse.known for verse in verses) / max(1, sum(verse.words for verse in verses))
