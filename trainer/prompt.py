"""Prompts: cleaned as the corpus was, and offered in the nearest characters that a model knows."""

from __future__ import annotations

import unicodedata

from trainer.errors import OptionError, UnknownCharacter
from trainer.verse.characters import clean, is_forbidden, is_unseen
from trainer.verse.vocabulary import Vocabulary

# Characters that stand for each other, the nearest first: quotes, dashes, and what other scripts write instead.
GROUPS = ("'’‘‛ʼ′‚´`＇", '"”“‟„″«»＂', "-‐‑–—‒―−－", ".。．", ",，、،", ":：", ";；؛", "!！", "?？؟", "(（", ")）")
SPELLINGS = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}


def prepare_prompt(prompt: str, vocabulary: Vocabulary, near: bool = False) -> str:
    """Clean a prompt as a corpus is cleaned, so that text copied from the corpus is known to the model.

    Args:
        prompt: As it was typed.
        vocabulary: What the model knows.
        near: Take the nearest characters that the model knows for those that it does not.

    Raises:
        OptionError: It holds a control character.
        UnknownCharacter: It holds a character that the model does not know; the message offers the nearest.
    """
    text = clean(prompt).text
    if controls := [
        character for character in text if is_forbidden(character) and not "\ud800" <= character <= "\udfff"
    ]:
        raise OptionError(f"--prompt holds the control character U+{ord(controls[0]):04X}: leave it out")
    known = set(vocabulary.symbols)
    unknown = [place for place, character in enumerate(text) if character not in known]
    if not unknown:
        return text
    offered = {text[place]: near_character(text[place], vocabulary.symbols) for place in unknown}
    missing = [place for place in unknown if offered[text[place]] is None]
    if missing:
        raise UnknownCharacter(text, missing[0], vocabulary.symbols)
    nearest = "".join(offered.get(character, character) or "" for character in text)
    if not near:
        raise UnknownCharacter(text, unknown[0], vocabulary.symbols, nearest)
    return nearest


def near_character(character: str, symbols: str) -> str | None:
    """Return what a reader takes for this character, written with `symbols`; None if there is no such text.

    >>> near_character("’", "'abc"), near_character("É", "abce"), near_character("…", ".")
    ("'", 'e', '...')
    """
    if is_unseen(character):
        return ""
    for group in GROUPS:
        if character in group:
            return next((other for other in group if other in symbols), None)
    base = _without_marks(character)
    lower = SPELLINGS.get(character.lower())
    for text in (unicodedata.normalize("NFKD", character), base, lower or "", base.swapcase()):
        if text and text != character and all(one in symbols for one in text):
            return text
    folded = base.casefold()
    return next((symbol for symbol in symbols if _without_marks(symbol).casefold() == folded), None)


def _without_marks(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
