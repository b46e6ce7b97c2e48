"""Writes every verse of a published event's file again, each in a watched child process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial

from arena.audit.archive import Archive, Member
from arena.audit.contents import BUNDLES, PublishedEntry, bundle_member
from arena.audit.page import Check
from arena.verification.runner import verify_parts
from trainer.verse.claim import LENGTH_BYTES, header_length, parse_claim
from trainer.verse.errors import BundleError
from trainer.verse.text import pluralize


def check_verses(
    archive: Archive,
    entries: Sequence[PublishedEntry],
    jobs: int,
    progress: Callable[[int, int], None] | None = None,
) -> Check:
    """Write the verses of the bracket again, and compare them with the claims and the verses of the entries.

    Args:
        archive: the file.
        entries: those in the bracket; a verse whose bundle is not in the file is left out.
        jobs: verses written at the same time.
        progress: called with the number of verses written so far and that of all of them.
    """
    held = [(entry, member) for entry in entries if (member := archive.find(bundle_member(entry.bundle or "")))]
    named = {member.name for _, member in held}
    extra = [member.name for member in archive.members if member.name.startswith(BUNDLES) and member.name not in named]
    differences = [f"{name!r} belongs to no verse of the bracket" for name in extra]
    parts = [(partial(archive.open, member), member.size) for _, member in held]
    for number, ((entry, member), report) in enumerate(zip(held, verify_parts(parts, jobs), strict=True), start=1):
        if report.verdict != "PASS":
            differences.append(f"entry {entry.entry}: {report.verdict}, {report.reason}")
        elif entry.text is not None and (report.text, report.prompt) != (entry.text, entry.prompt):
            differences.append(f"entry {entry.entry}: its bundle writes another verse")
        if (fault := _claim_fault(archive, member, entry)) is not None:
            differences.append(f"entry {entry.entry}: {fault}")
        if progress is not None:
            progress(number, len(held))
    return Check("verses", f"{pluralize(len(held), 'verse')} written again, letter by letter", differences)


def _claim_fault(archive: Archive, member: Member, entry: PublishedEntry) -> str | None:
    """Say why a bundle's header is not the claim of its entry."""
    if member.sha256 != entry.bundle:
        return "its bundle has other bytes than its name says"
    try:
        with archive.open(member) as window:
            start = window.read(LENGTH_BYTES)
            header = start + window.read(header_length(start) - LENGTH_BYTES)
        parse_claim(header)
    except BundleError as error:
        return str(error)
    return (
        None if hashlib.sha256(header).hexdigest() == entry.claim else "its bundle has another header than was claimed"
    )
