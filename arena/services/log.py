"""The append-only log of every change; the hash of each record covers the record before it.

The log holds ids and salted digests: no names of people, no verses, no secrets. Who knows the latest hash can tell
whether any record was changed. Every fact of the tables follows from it: `rules.rebuild` says how.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from sqlalchemy import Table, insert, select
from sqlalchemy.orm import Session

from arena.errors import AlreadyDone, LogBroken
from arena.rules.chain import START, Record, find_fault, record_hash
from arena.store.schema import LogRecord
from arena.store.unit_of_work import Database
from trainer.verse import strictjson

_TABLE = cast(Table, LogRecord.__table__)
_HEAD = select(_TABLE.c.number, _TABLE.c.hash).order_by(_TABLE.c.number.desc()).limit(1)
_APPEND = insert(_TABLE)


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


def read_records(session: Session) -> Iterator[Record]:
    """Read all records, in order."""
    query = select(_TABLE).order_by(_TABLE.c.number)
    for row in session.execute(query).yield_per(1_000).mappings():
        yield Record(**row)


def verify_chain(records: Iterable[Record]) -> int:
    """Recompute the hash of every record.

    Args:
        records: all of them, in order.

    Returns:
        The number of records.

    Raises:
        LogBroken: A record was changed, added or taken out.
    """
    listed = list(records)
    if (fault := find_fault(listed)) is not None:
        raise LogBroken(fault.number, fault.why)
    return len(listed)


def verify_log(db: Database) -> int:
    """Recompute the hash of every record of a database; raises and returns as `verify_chain`."""
    with db.reading() as session:
        return verify_chain(read_records(session))
