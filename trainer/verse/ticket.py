"""The code of a ticket: 90 random bits and 10 that check them, in letters and digits that nobody confuses.

A code is a secret like any other (`identity`), in a spelling that can be printed on a card and typed again.
"""

from __future__ import annotations

import hashlib
import re
import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # without I, L, O and U: five bits each
RANDOM_SYMBOLS = 18
CHECK_SYMBOLS = 2
GROUP = 4  # symbols between two hyphens
MEANT = str.maketrans("OILU", "011V")  # what people type for a symbol that looks the same
SEPARATORS = re.compile(r"[\s\-_.\u2010-\u2015]+")
TICKET_PATTERN = re.compile(rf"[{ALPHABET}]{{{GROUP}}}(-[{ALPHABET}]{{{GROUP}}}){{4}}")


class TicketFault(ValueError):
    """A text that is no ticket's code; the message says what is wrong with it.

    Attributes:
        symbol: The first that no code has, if that is wrong.
        length: The number of symbols, if that is wrong.
    """

    def __init__(self, message: str, symbol: str | None = None, length: int | None = None) -> None:
        super().__init__(message)
        self.symbol, self.length = symbol, length


def new_ticket() -> str:
    """Return the code of a new ticket, from the system's random source."""
    return _spell("".join(secrets.choice(ALPHABET) for _ in range(RANDOM_SYMBOLS)))


def read_ticket(text: str) -> str:
    """Read a code as people type it: in any case, with or without hyphens and spaces, O for 0, I or L for 1.

    Returns:
        The code in its one spelling, as it is printed.

    Raises:
        TicketFault: It is no code, or one with a typing error.

    >>> read_ticket("o123 4567 89ab cdef gh55")
    '0123-4567-89AB-CDEF-GH55'
    """
    symbols = SEPARATORS.sub("", text[:200]).upper().translate(MEANT)
    wanted = RANDOM_SYMBOLS + CHECK_SYMBOLS
    if wrong := next((symbol for symbol in symbols if symbol not in ALPHABET), None):
        raise TicketFault(f"a ticket has only letters and digits, and this has {wrong!r}", symbol=wrong)
    if len(symbols) != wanted:
        raise TicketFault(f"a ticket has {wanted} letters and digits, and this has {len(symbols)}", length=len(symbols))
    code = _spell(symbols[:RANDOM_SYMBOLS])
    if code.replace("-", "")[RANDOM_SYMBOLS:] != symbols[RANDOM_SYMBOLS:]:
        raise TicketFault("a letter or a digit of this ticket is wrong: compare it with the card")
    return code


def is_ticket(secret: str) -> bool:
    """Whether a secret is the code of a ticket, in its one spelling."""
    if TICKET_PATTERN.fullmatch(secret) is None:
        return False
    return secret == _spell(secret.replace("-", "")[:RANDOM_SYMBOLS])


def _spell(symbols: str) -> str:
    """Return random symbols with their check symbols, in groups."""
    digest = hashlib.sha256(b"verse-ticket-check-1" + symbols.encode()).digest()
    value = int.from_bytes(digest[:2], "big")
    check = "".join(ALPHABET[(value >> shift) & 31] for shift in (5, 0))
    whole = symbols + check
    return "-".join(whole[start : start + GROUP] for start in range(0, len(whole), GROUP))
