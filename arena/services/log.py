"""The append-only log of every change; the hash of each record covers the record before it.

The log holds ids and salted digests: no names, no verses, no secrets. Who knows the latest hash can tell whether any
record was changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Table, insert, select
from sqlalchemy.orm import Session

from arena.errors import AlreadyDone, LogBroken
from arena.store.schema import LogRecord
from arena.store.unit_of_work import Database
from trainer.verse import strictjson


@dataclass(frozen=True)
class Record:
    """One record of the log."""

    number: int  # from 1, without gaps
    at: float  # seconds since the epoch
    kind: str
    data: str  # canonical JSON
    hash: str  # SHA-256 of the hash before it and this record, hexadecimal


START = "0" * 64  # stands for the hash before the first record
_TABLE = cast(Table, LogRecord.__table__)
_HEAD = select(_TABLE.c.number, _TABLE.c.hash).order_by(_TABLE.c.number.desc()).limit(1)
_APPEND = insert(_TABLE)


def record_hash(previous: str, number: int, at: float, kind: str, data: str) -> str:
    """Compute a record's hash: SHA-256 of the previous record's hash and this record as canonical JSON.

    Args:
        previous: the previous record's hash, in hexadecimal.
        number: this record's number, from 1.
        at: seconds since the epoch.
        kind: this record's kind.
        data: canonical JSON, as stored; it is hashed as a string.

    Returns:
        The hash, in hexadecimal.
    """
    record = strictjson.dump({"number": number, "at": at, "kind": kind, "data": data})
    return hashlib.sha256(previous.encode() + record).hexdigest()


def salted(salt: str, *parts: object) -> str:
    """Compute a digest that nobody can guess before the salt is published: SHA-256 of both as canonical JSON."""
    return hashlib.sha256(strictjson.dump([salt, *parts])).hexdigest()


def append(session: Session, kind: str, data: dict[str, Any], *, now: float) -> int:
    """Append one record.

    Args:
        session: a writing transaction.
        kind: the record's kind.
        data: ids and salted digests, as JSON can hold them.
        now: seconds since the epoch.

    Returns:
        The record's number.
    """
    previous, before = head(session)
    number, text = previous + 1, strictjson.dump(data).decode()
    now = float(now)  # as the database gives it back: 5 and 5.0 are written differently
    digest = record_hash(before, number, now, kind, text)
    session.execute(_APPEND, {"number": number, "at": now, "kind": kind, "data": text, "hash": digest})
    return number


def head(session: Session) -> tuple[int, str]:
    """Return number and hash of the latest record; (0, zeros) before the first."""
    row = session.execute(_HEAD).first()
    return (row.number, row.hash) if row else (0, START)


def require_unchanged(session: Session, seen: int | None, what: Mapping[str, str], **subject: str) -> None:
    """Refuse an action of somebody who was shown an older state.

    A second tap, an old tab of the console, or a command that waited for confirmation may ask for what is already
    done. To act again would do the next thing.

    Args:
        session: a writing transaction.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        what: the kinds of records that change the subject, each with a description.
        subject: a name and a value in the record's data, such as match="r1m1"; without one, any record of these kinds.

    Raises:
        AlreadyDone: Such a record was written since.
    """
    if seen is None:
        return
    query = select(LogRecord).where(LogRecord.number > seen, LogRecord.kind.in_(what))
    for record in session.scalars(query.order_by(LogRecord.number.desc())):
        data = strictjson.parse(record.data.encode())
        if all(data.get(name) == value for name, value in subject.items()):
            raise AlreadyDone(what[record.kind].format(**subject), record.at, record.number)


def verify_chain(records: Iterable[Record]) -> int:
    """Recompute the hash of every record.

    Args:
        records: all of them, in order.

    Returns:
        The number of records.

    Raises:
        LogBroken: A record was changed, added or taken out.
    """
    previous, count = START, 0
    for record in records:
        count += 1
        if record.number != count:
            raise LogBroken(count, "is missing")
        if record_hash(previous, record.number, record.at, record.kind, record.data) != record.hash:
            raise LogBroken(count, "does not fit the one before it")
        previous = record.hash
    return count


def verify_log(db: Database) -> int:
    """Recompute the hash of every record of a database; raises and returns as `verify_chain`."""
    with db.reading() as session:
        query = select(_TABLE).order_by(_TABLE.c.number)
        return verify_chain(Record(**row) for row in session.execute(query).yield_per(1_000).mappings())
