"""Whose entries these are: a secret of 128 bits, one for each event, kept where only its owner reads it.

Whoever has the secret owns the entries made with it: can replace them, withdraw them, and does not vote on them. The
event keeps digests of it only, so a lost secret cannot be asked for again.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
from pathlib import Path
from urllib.parse import quote

from trainer.errors import TicketError

SECRET_BYTES = 16  # 22 letters in URL-safe base 64
SECRET = re.compile(r"[A-Za-z0-9_-]{22,64}")
MAX_FILE = 1_000  # bytes read of a ticket file; a secret and some space around it


def secret_for(event: str, ticket_file: Path | None = None) -> str:
    """The secret for an event: from a file, or the one kept from before, or a new one.

    Args:
        event: the event's address, as `trainer.submission.http_client.Address.url` writes it.
        ticket_file: a file that holds a secret and nothing else; None: this user's own.

    Raises:
        TicketError: the file holds no secret.
        OSError: it cannot be read, or the new one not kept.
    """
    if ticket_file is not None:
        return _read(ticket_file)
    path = config_folder() / "owner" / quote(event, safe="")
    if not path.exists():
        _keep_new(path)
    return _read(path)


def config_folder() -> Path:
    """Where this user's programs keep what must not be lost."""
    if given := os.environ.get("XDG_CONFIG_HOME"):
        return Path(given) / "verse-arena"
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData/Roaming") / "verse-arena"
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/verse-arena"
    return Path.home() / ".config/verse-arena"


def _read(path: Path) -> str:
    with path.open("rb") as file:
        text = file.read(MAX_FILE).decode("ascii", errors="replace").strip()
    if not SECRET.fullmatch(text):
        raise TicketError(f"{path} holds no secret: it must have 22 to 64 letters, digits, - or _, and nothing else")
    return text


def _keep_new(path: Path) -> None:
    """Make a secret, whole from the moment it has its name; of two programs at once, one makes it and both read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{secrets.token_hex(8)}.part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(partial, path)  # unlike a rename, it never replaces what is there
    finally:
        partial.unlink(missing_ok=True)
