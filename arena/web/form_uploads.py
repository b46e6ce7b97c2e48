"""Bundles that come with a form, and the link that an author follows an entry with."""

from __future__ import annotations

import secrets

from werkzeug.datastructures import FileStorage

from arena.phrases import phrase
from arena.services import uploads
from arena.services.schemas import Receipt
from arena.web.context import get_context
from arena.web.refusal import Refusal
from trainer.verse.ticket import is_ticket


def take_upload(upload: FileStorage | None, secret: str, name: str, *, by_organizer: bool = False) -> Receipt:
    """Save the form's file, give it to the service, and remove it in any case.

    Args:
        upload: the file; None if none was chosen.
        secret: the owner's.
        name: the author's, as it was typed.
        by_organizer: whether the organizer enters it for somebody, who needs no ticket.

    Raises:
        Refusal: No file was chosen.
        ArenaError: As `uploads.take_file`.
    """
    if upload is None or not upload.filename:
        raise Refusal(422, "no-file", phrase("No file was chosen: choose the .verse file that the trainer wrote."))
    ctx = get_context()
    path = ctx.settings.incoming / f"form-{secrets.token_hex(8)}"
    try:
        upload.save(path)
        return uploads.take_file(
            ctx.db,
            ctx.bundles,
            ctx.spool,
            path,
            secret,
            name,
            by_organizer=by_organizer,
            key=ctx.settings.receipt_key,
            now=ctx.now,
        )
    finally:
        path.unlink(missing_ok=True)


def link_of(secret: str) -> str:
    """Return the address that links a phone to the entries of a secret; that of the card, where it is a ticket."""
    return f"{get_context().base_url}/{'join#' if is_ticket(secret) else 'mine/'}{secret}"
