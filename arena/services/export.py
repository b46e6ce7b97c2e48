"""The export of a published event into one file, which anybody can audit."""

from __future__ import annotations

import errno
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from arena.audit import contents
from arena.audit.archive import archive_chunks, measure
from arena.audit.contents import PublishedEntry
from arena.errors import BundlesMissing, NotPublished
from arena.rules.chain import Record, entry_key
from arena.rules.facts import Facts
from arena.services.audit import check_tables, read_ballots, read_voters
from arena.services.claims import make_receipt
from arena.services.events import the_event
from arena.services.judgements import read_judgements
from arena.services.log import read_records, verify_chain
from arena.services.receipts import public_key_of, sign
from arena.services.schemas import ExportReport
from arena.store.bundles import BundleStore
from arena.store.schema import Entry
from arena.store.unit_of_work import Database
from trainer.verse.files import write_new


def export_event(
    db: Database, bundles: BundleStore, path: Path, *, key: str, with_bundles: bool = True
) -> ExportReport:
    """Write a published event into a file. The same event gives the same bytes.

    Authors and verses of entries that were disqualified, or did not play, stay unpublished.

    Args:
        db: the event's database.
        bundles: the store of whole bundles.
        path: a new file; what is there already stays.
        key: the private key that signs receipts.
        with_bundles: False: their digests only.

    Raises:
        BundlesMissing: A bundle is missing, or has other bytes than its name says.
        FileExistsError: There is such a file.
        NotPublished: The event is not published.
        TablesDiffer: The tables hold something that does not follow from the log.
        LogBroken: The log was changed.
        OSError: The file cannot be written.
    """
    with db.reading() as session:
        event = the_event(session)
        if event.state != "published":
            raise NotPublished(event.state)
        records = list(read_records(session))
        verify_chain(records)
        facts = check_tables(session, records)
        entries = _published_entries(session, facts, event.salt, key)
        ballots = read_ballots(session)
        judgements = read_judgements(session) if event.heats == "closed" else []
        voters = read_voters(session)
    texts = [
        (contents.README, contents.README_TEXT),
        (contents.LOG, contents.dump_log(records)),
        (contents.ENTRIES, contents.dump_entries(entries)),
        (contents.BALLOTS, contents.dump_ballots({key: ballots.get(key, []) for key in facts.counted})),
        (contents.JUDGEMENTS, contents.dump_judgements(judgements)),
        (contents.VOTERS, contents.dump_voters(voters)),
        (contents.RESULTS, contents.dump_results(facts)),
    ]
    listed = [[name, *measure(data)] for name, data in texts]
    files: list[tuple[str, Path]] = []
    if with_bundles:
        digests = sorted({entry.bundle for entry in entries if entry.text is not None and entry.bundle is not None})
        if missing := [digest for digest in digests if not bundles.is_whole(digest)]:
            raise BundlesMissing(len(missing), missing[0])
        files = [(contents.bundle_member(digest), bundles.local_copy(digest)) for digest in digests]
        listed += [[name, file.stat().st_size, file.stem] for name, file in files]
    manifest = _signed_manifest(facts, records, listed, key)
    members: list[tuple[str, bytes | Path]] = [(contents.MANIFEST, manifest), *texts, *files]
    if not write_new(path, archive_chunks(members), 0o644):
        raise FileExistsError(errno.EEXIST, "there is such a file already: name another", str(path))
    size = path.stat().st_size
    return ExportReport(str(path), facts.event.name, size, len(records), records[-1].hash, len(entries), len(files))


def _published_entries(session: Session, facts: Facts, secret: str, key: str) -> list[PublishedEntry]:
    entries = []
    for entry in session.scalars(select(Entry).order_by(Entry.claimed_at, Entry.id)):
        public = entry.seed is not None and entry.state != "disqualified"
        named = public and not entry.masked
        receipt = make_receipt(entry, True, key)
        entries.append(
            PublishedEntry(
                entry=entry.id,
                owner=entry.owner_id,
                claim=entry.claim_digest,
                bundle=entry.bundle,
                signature=receipt.signature,
                name=entry.name if named else None,
                key=entry_key(secret, entry.id) if named else None,
                text=entry.text if public else None,
                prompt=entry.prompt if public else None,
            )
        )
    return entries


def _signed_manifest(facts: Facts, records: list[Record], listed: list[list[object]], key: str) -> bytes:
    manifest = {
        "format": contents.FORMAT,
        "event": facts.event.name,
        "head": [len(records), records[-1].hash],
        "key": public_key_of(key),
        "members": listed,
    }
    return contents.dump_manifest(manifest, sign(key, manifest))
