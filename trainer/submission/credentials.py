"""The secret of a participant: one for each event, in a file that only its owner can read.

An event is known by the public key of its receipts, wherever it is: at 127.0.0.1 and at localhost it is the same. It
proves that the key is its own (`event.fetch_event`) before a secret is used.

Whoever has the secret owns the entries made with it: they can replace and withdraw them, and cannot vote on them. The
event keeps only digests of it, so a lost secret cannot be recovered.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import platformdirs

from trainer.errors import TicketError
from trainer.verse.characters import encoding_of_mark, is_invisible
from trainer.verse.event_path import EVENT_PATH
from trainer.verse.files import write_atomically, write_new
from trainer.verse.identity import is_secret, new_secret
from trainer.verse.text import sanitize
from trainer.verse.ticket import TicketFault, is_ticket, read_ticket

MAX_ADDRESSES = 20  # of one event that are remembered
MAX_TICKET_BYTES = 1_000  # a secret or a link, and white space around it
SECRET_CHARACTER = re.compile("[A-Za-z0-9_-]")
LINK = re.compile(
    rf"https?://[^\s/]+(?:{EVENT_PATH.pattern})?/(?:mine/|join#)([^\s/?#]+)/?"
)  # a receipt's, or a ticket's
QUOTES = [*zip("\"'`“„‘«<", "\"'`”“’»>", strict=True)]


def secret_for(event: str, ticket_file: Path | None = None) -> str:
    """Return the secret for an event: from a file, or the one kept before, or a new one that is kept there.

    Args:
        event: The public key of the event's receipts, which it has proved to be its own.
        ticket_file: A file that holds a secret and nothing else, or will; None for the one kept for this event.

    Raises:
        TicketError: The file does not hold a secret.
        OSError: The file cannot be read, or a new one cannot be written.
    """
    path = ticket_file if ticket_file is not None else _folder() / quote(event, safe="")
    if not path.exists():
        write_new(path, new_secret().encode() + b"\n")
    return read_secret(path)


def remember_address(event: str, url: str) -> list[str]:
    """Keep an address of an event, and return those at which it was known before.

    Args:
        event: The public key of the event's receipts, which it has proved to be its own.
        url: Its address, as `trainer.submission.http_client.Address.url` writes it.

    Raises:
        OSError: The file cannot be read or written.
    """
    path = _folder() / f"{quote(event, safe='')}.addresses"
    known = path.read_text("utf-8", "replace").split() if path.exists() else []
    if url not in known:
        write_atomically(path, "".join(f"{one}\n" for one in [*known, url][-MAX_ADDRESSES:]).encode())
    return [one for one in known if one != url] if url not in known else []


def _folder() -> Path:
    folder = platformdirs.user_config_path("verse-arena", appauthor=False, roaming=True) / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def read_secret(path: Path) -> str:
    """Read a secret from a file, as Notepad or PowerShell write it, too: with a byte order mark, quotes or spaces.

    Raises:
        TicketError: The file does not hold a secret.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(MAX_TICKET_BYTES + 1)
    if len(data) > MAX_TICKET_BYTES:
        raise TicketError(f"{path} does not hold a secret: it is longer than {MAX_TICKET_BYTES:,} bytes")
    encoding = encoding_of_mark(data) or ("utf-16-le" if data[1:2] == b"\0" else "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise TicketError(
            f"{path} does not hold a secret: it is not text. Save it as UTF-8, with the secret alone"
        ) from None
    secret = "".join(c for c in text if not is_invisible(c)).strip()
    if len(secret) > 1 and (secret[0], secret[-1]) in QUOTES:
        secret = secret[1:-1].strip()
    if link := LINK.fullmatch(secret):  # the receipt's link, pasted whole
        secret = link[1]
    with suppress(TicketFault):
        return read_ticket(secret)  # typed by hand, in any spelling
    if not is_secret(secret):
        raise TicketError(f"{path} does not hold a secret: {_fault(secret)}")
    return secret


def typed_ticket(text: str) -> str:
    """Read the code of a ticket, or its link, as somebody typed it.

    Raises:
        TicketError: It is no code.
    """
    link = LINK.fullmatch(text.strip())
    try:
        return read_ticket(link[1] if link else text)
    except TicketFault as fault:
        raise TicketError(f"{fault}: type it as it is printed, such as 0123-4567-89AB-CDEF-GH55") from None


def check_admission(admission: str, secret: str) -> None:
    """Check that a secret is a ticket, where an event takes tickets.

    Args:
        admission: who may enter and vote, as the event describes it.
        secret: the participant's.

    Raises:
        TicketError: It is none.
    """
    if admission == "tickets" and not is_ticket(secret):
        raise TicketError("this event takes tickets: give the code on your card with --ticket or --ticket-file")


def _fault(text: str) -> str:
    """Return what is wrong with the text of a ticket file."""
    if not text:
        return "it is empty"
    if len(text.split()) > 1:
        return f"it has {len(text.split())} words, and must have the secret alone"
    if wrong := next((c for c in text if not SECRET_CHARACTER.fullmatch(c)), None):
        return (
            f"it has the character {sanitize(wrong)!r} (U+{ord(wrong):04X}), and a secret only letters, digits, - and _"
        )
    return f"it has {len(text)} characters, and a secret has 22 to 64"
