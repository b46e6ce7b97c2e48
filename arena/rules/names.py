"""Names that look like other names: another script, accents, capitals and spaces do not make another person."""

from __future__ import annotations

import unicodedata

# Letters that look like a Latin one, as in the table of Unicode Technical Standard 39: Cyrillic, Greek, Armenian and
# others. Those of full width, of mathematics and with accents are not here, since they decompose.
LOOKALIKES = {
    "a": "аАΑαɑ",
    "b": "ВΒЬьƄ",
    "c": "сСϲϹⅽ",
    "d": "ԁԀⅾ",
    "e": "еЕΕҽ℮",
    "g": "ɡցԌԍ",
    "h": "НΗһհ",
    "i": "іІΙιı",
    "j": "јЈϳ",
    "k": "кКΚκ",
    "l": "ӀӏǀΙＩ|Լ1Ii!",
    "m": "МмΜ",
    "n": "Νηոռп",
    "o": "оОΟοσՕօⲟ0",
    "p": "рРΡρ",
    "q": "ԛԚզ",
    "r": "гᴦ",
    "s": "ѕЅՏ",
    "t": "тТΤτ",
    "u": "υսʋ",
    "v": "νѵѴ",
    "w": "ԝԜωա",
    "x": "хХΧχ",
    "y": "уУΥγүҮ",
    "z": "ΖᴢƵ",
}
SHORTEST = 4  # letters of a part of a name that is no common word
LATIN = str.maketrans({other: letter for letter, others in LOOKALIKES.items() for other in others})


def skeleton(name: str) -> str:
    """Return what a reader from afar takes a name for; equal for names that look the same.

    >>> skeleton("Аdа Lоvelасe") == skeleton("ADA  LOVELACE") == skeleton("Ada Lovélace")
    True
    """
    letters = "".join(c for c in unicodedata.normalize("NFKD", name) if c.isalnum())
    seen = letters.translate(LATIN).casefold().translate(LATIN)
    return seen.replace("rn", "m").replace("vv", "w") or name


def names_author(text: str, name: str) -> bool:
    """Whether a verse contains its author's name, or a word of it with four letters or more.

    >>> names_author("Here spake ADA, and no more", "Ada"), names_author("a parade of words", "Ada")
    (True, False)
    """
    said = [skeleton(word) for word in text.split()]
    words = [skeleton(word) for word in name.split()]
    whole = "".join(words)
    if any(len(word) >= SHORTEST and word in said for word in words):
        return True
    return any("".join(said[start : start + len(words)]) == whole for start in range(len(said) - len(words) + 1))
