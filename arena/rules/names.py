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
LATIN = str.maketrans({other: letter for letter, others in LOOKALIKES.items() for other in others})


def skeleton(name: str) -> str:
    """Return what a reader from afar takes a name for; equal for names that look the same.

    >>> skeleton("Аdа Lоvelасe") == skeleton("ADA  LOVELACE") == skeleton("Ada Lovélace")
    True
    """
    letters = "".join(c for c in unicodedata.normalize("NFKD", name) if c.isalnum())
    seen = letters.translate(LATIN).casefold().translate(LATIN)
    return seen.replace("rn", "m").replace("vv", "w") or name
