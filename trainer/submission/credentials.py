"""The secret of a participant: one for each event, in a file that only its owner can read.

Whoever has the secret owns the entries made with it: they can replace and withdraw them, and cannot vote on them. The
event keeps only digests of it, so a lost secret cannot be recovered.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from urllib.parse import quote

import platformdirs

from trainer.errors import TicketError
from trainer.verse.identity import is_secret, new_secret

MAX_TICKET_BYTES = 1_000  # a secret, and white space around it


def secret_for(event: str, ticket_file: Path | None = None) -> str:
    """Return the secret for an event: from a file, or the one kept before, or a new one.

    Args:
        event: The event's address, as `trainer.submission.http_client.Address.url` writes it.
        ticket_file: A file that holds a secret and nothing else; None for the one kept for this event.

    Raises:
        TicketError: The file does not hold a secret.
        OSError: The file cannot be read, or a new one cannot be written.
    """
    if ticket_file is not None:
        return _read_secret(ticket_file)
    path = (
        platformdirs.user_config_path("verse-arena", appauthor=False, roaming=True) / "secrets" / quote(event, safe="")
    )
    if not path.exists():
        _write_new_secret(path)
    return _read_secret(path)


def _read_secret(path: Path) -> str:
    with path.open("rb") as file:
        text = file.read(MAX_TICKET_BYTES).decode("ascii", errors="replace").strip()
    if not is_secret(text):
        raise TicketError(
            f"{path} does not hold a secret: it must have 22 to 64 letters, digits, - or _, and nothing else"
        )
    return text


def _write_new_secret(path: Path) -> None:
    """Write a new secret atomically; of two programs at the same time, one writes it and both read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{secrets.token_hex(8)}.part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(new_secret() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(partial, path)  # unlike a rename, it never replaces an existing file
    finally:
        partial.unlink(missing_ok=True)
