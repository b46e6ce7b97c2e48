"""Characters of texts that people bring: one rule for corpora, prompts and names, and how a verse may look.

It depends on Python's Unicode tables, and so it is no part of the format of verses: it decides what is trained on, what
can be asked for and what an event takes, never what a checkpoint writes.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from trainer.verse.errors import LineError

BYTE_ORDER_MARKS = (  # UTF-32 first, since the mark of UTF-16 begins that of UTF-32
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LINE_ENDS = frozenset("\n\r\v\f\x85\u2028\u2029")
# Format characters (Cf) that are drawn: signs that stand under or around the number after them.
DRAWN_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
# Letters, marks and symbols that are not drawn: fillers of Hangul, Khmer and Khitan, the blank of Braille and others.
BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U00013441\U00013442\U00016fe4\U0001d159")
REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
JOINERS = "\u200c\u200d"
SELECTORS = "\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
SELECTOR, IN_CONTEXT = re.compile(f"[{SELECTORS}]"), re.compile(f"[{JOINERS}{SELECTORS}]+")
# Scripts whose letters change their form beside a joiner: Arabic to Mandaic, those of India, Tibetan, Burmese, Khmer,
# Mongolian, and their like beyond U+FFFF.
JOINED_SCRIPT = re.compile(
    "[\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\u1900-\u1aaf\u1b00-\u1c4f\ua840-\ua87f\ua8e0-\ua8ff\ua980-\uaadf"
    "\uabc0-\uabff\ufb50-\ufdff\ufe70-\ufefc\U00010a00-\U00010fff\U00011000-\U00011fff\U0001e900-\U0001e95f]"
)
SKIN_TONE = re.compile("[\U0001f3fb-\U0001f3ff]")
# Marks that combine with any letter, by block. Marks of a script are allowed in longer rows, which Burmese, Hebrew and
# Tibetan need; their number is that of Unicode Technical Standard 39.
ANY_LETTER_MARKS = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
MAX_MARKS, MAX_SCRIPT_MARKS = 2, 4  # in a row


@dataclass(frozen=True)
class Cleaned:
    """A text in which every character can be seen."""

    text: str
    removed: Mapping[str, int]  # characters that cannot be seen, each with its number


def encoding_of_mark(data: bytes) -> str | None:
    """Return the encoding that a byte order mark names; None without one."""
    return next((encoding for mark, encoding in BYTE_ORDER_MARKS if data.startswith(mark)), None)


def clean(text: str) -> Cleaned:
    r"""Normalize a text: NFC, lines that end in LF, plain spaces, and no character that cannot be seen.

    Joiners and variation selectors stay where a script or an emoji needs them. Control characters stay, too, for the
    caller to refuse.

    >>> clean("cafe\u0301\r\n\u200bau\xa0lait").text
    'café\nau lait'
    """
    if text.isascii():
        special = {c for c in set(text) if not c.isprintable()} - {"\n"}
        if not special:
            return Cleaned(text, {})
    else:
        special = {character for character in set(text) if character != "\n" and _is_special(character)}
    text = text.replace("\r\n", "\n")
    line_ends, spaces = special & LINE_ENDS, {c for c in special if is_space(c)}
    removed: Counter[str] = Counter()
    if line_ends:
        text = _any_of(line_ends).sub("\n", text)
    if spaces:
        text = _any_of(spaces).sub(" ", text)
    if invisible := {c for c in special - line_ends - spaces if is_invisible(c)}:
        pattern = _any_of(invisible)
        removed.update(pattern.findall(text))
        text = pattern.sub("", text)
    if any(IN_CONTEXT.match(character) for character in special):
        text = IN_CONTEXT.sub(lambda match: _needed(match, removed), text)
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    return Cleaned(text, dict(removed))


def clean_line(text: str, limit: int) -> str:
    """Clean a name or another text of one line. What can be seen is kept; what cannot is removed.

    Args:
        text: Untrusted.
        limit: Characters, at most.

    Raises:
        LineError: It is empty or too long, has several lines or a control character, or cannot be read.
    """
    cleaned = clean(text)
    text = cleaned.text.strip()
    if REORDERING & cleaned.removed.keys():
        raise LineError("without those that reorder the others")
    if any(is_forbidden(character) for character in text):
        raise LineError("without control characters")
    if "\n" in text:
        raise LineError("on one line")
    if not has_ink(text):
        raise LineError("of which one can be seen")
    if len(text) > limit:
        raise LineError(f"at most {limit}, and not {len(text):,}")
    if fault := stacked_marks(text):
        raise LineError(f"without a row of {fault} marks over or under one letter")
    return text


def is_space(character: str) -> bool:
    """Whether this is a tab or another space than the common one."""
    return character in "\t\u2800" or (character != " " and unicodedata.category(character) == "Zs")


def is_forbidden(character: str) -> bool:
    """Whether this is a control character other than a line feed, or half a surrogate pair."""
    return character != "\n" and unicodedata.category(character) in ("Cc", "Cs")


def is_invisible(character: str) -> bool:
    """Whether this is a character that cannot be seen, wherever it is: a format or a filler, or not a character."""
    if unicodedata.category(character) in ("Cf", "Co", "Cn"):
        return character not in DRAWN_FORMATS and character not in JOINERS
    return character in BLANKS


def is_mark(character: str) -> bool:
    """Whether this is drawn over, under or around the character before it, and takes no room of its own."""
    return unicodedata.category(character) in ("Mn", "Me") or unicodedata.combining(character) != 0


def has_ink(text: str) -> bool:
    """Whether a text has a character that can be seen, other than a mark."""
    return any((unicodedata.category(c)[0] not in "ZCM" and c not in BLANKS) or c in DRAWN_FORMATS for c in text)


def stacked_marks(text: str) -> int:
    """Return the length of the first row of marks that is too long, or of one mark repeated; 0 if there is none."""
    marks = {character for character in set(text) if not character.isascii() and is_mark(character)}
    if not marks:
        return 0
    within = marks | {character for character in set(text) if is_unseen(character)}  # which does not end a row
    for match in re.finditer(f"{_any_of(within).pattern}{{{MAX_MARKS + 1},}}", text):
        row = [character for character in match[0] if character in marks]
        general = sum(ANY_LETTER_MARKS.match(mark) is not None for mark in row)
        repeated = max(Counter(row).values(), default=0)
        if general > MAX_MARKS or repeated > MAX_MARKS or len(row) > MAX_SCRIPT_MARKS:
            return len(row)
    return 0


def appearance_fault(text: str, prompt: str = "") -> str | None:
    """Return why a verse cannot be shown to an audience; None if it can.

    Args:
        text: The verse.
        prompt: What it continues.
    """
    if marks := stacked_marks(prompt + text):
        return (
            f"it has a row of {marks} marks over or under one letter, and at most {MAX_MARKS} are allowed "
            f"({MAX_SCRIPT_MARKS} of a script's own)"
        )
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip(" ") and not has_ink(line):
            return f"its line {number} has no character that can be seen"
    return None


def cut(text: str, length: int) -> str:
    r"""Return the beginning of a text, without the half of a character that is made of several.

    >>> cut("ne\u0301e", 2)
    'n'
    """
    end = length
    while 0 < end < len(text) and _continues(text, end):
        end -= 1
    return text[: end or length]


def describe(removed: Mapping[str, int]) -> str:
    """Return characters with their numbers, the most frequent first, for people."""
    most = sorted(removed.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{count:,} x {_name(character)}" for character, count in most[:6]]
    return ", ".join(parts) + (f" and {len(most) - 6:,} other kinds" if len(most) > 6 else "")


def is_unseen(character: str) -> bool:
    """Whether this is not drawn by itself: invisible, a joiner or a variation selector."""
    return is_invisible(character) or IN_CONTEXT.match(character) is not None


def _is_special(character: str) -> bool:
    return character in LINE_ENDS or is_space(character) or is_unseen(character)


def _any_of(characters: set[str]) -> re.Pattern[str]:
    return re.compile(f"[{''.join(map(re.escape, sorted(characters)))}]")


def _needed(match: re.Match[str], removed: Counter[str]) -> str:
    """Return the joiners and selectors of a run that belong there."""
    text, kept = match.string, ""
    after = text[match.end() : match.end() + 1]
    for character in match[0]:
        before = kept[-1:] or text[match.start() - 1 : match.start()]
        if SELECTOR.match(character):
            is_needed = before != "" and not re.match("[ZCM]|L[ult]", unicodedata.category(before))
        else:
            is_emoji = bool(before and after) and _is_symbol(before) and _is_symbol(after) and character == "\u200d"
            is_needed = is_emoji or JOINED_SCRIPT.match(before) is not None
        if is_needed:
            kept += character
        else:
            removed[character] += 1
    return kept


def _is_symbol(character: str) -> bool:
    return unicodedata.category(character) == "So" or bool(SKIN_TONE.match(character)) or character == "\ufe0f"


def _continues(text: str, index: int) -> bool:
    """Whether the character at this index is drawn together with the one before it."""
    character, before = text[index], text[index - 1]
    if unicodedata.category(character)[0] == "M" or character in JOINERS or SKIN_TONE.match(character):
        return True
    return before == "\u200d" or (_is_flag(character) and _flags_at_end(text[:index]) % 2 == 1)


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flags_at_end(text: str) -> int:
    """Return how many letters of flags a text ends in."""
    return len(text) - len(text.rstrip("".join(map(chr, range(0x1F1E6, 0x1F200)))))


def _name(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, '').lower()}".rstrip()
