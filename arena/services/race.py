"""The race: heartbeats of the trainings, and their curves under nicknames, while the room trains.

A run is kept by an id of its own that follows from the participant's secret, as a vote is: nothing in the database
leads from a curve to an entry. The log has no heartbeats. They are what trainers say of themselves; nothing about a
verse follows from them, and each would be a record.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from arena.errors import BadHeartbeat, CurveNotFound, HeartbeatTooSoon, RaceFull, RaceOff, RunReplaced
from arena.rules.lifecycle import Action, allows, state_at
from arena.rules.race import (
    MAX_POINTS,
    Anchor,
    Heartbeats,
    draw_nickname,
    is_seen_live,
    parse_heartbeats,
    shown_points,
    thin,
)
from arena.services.events import require, the_event
from arena.services.identity import identify, racer_id_of
from arena.services.log import append, require_unchanged
from arena.services.schemas import Curve, CurvePoint, HeartbeatReceipt, ListedCurve, RaceCounts, RaceList, RaceView
from arena.store.schema import Event, RacePoint, RaceRun
from arena.store.unit_of_work import Database

MAX_RUNS = 512
MIN_SECONDS = 1.0  # between two requests of one participant
NEW_RUN_SECONDS = 10.0  # between two runs of one participant
SILENT_SECONDS = 600.0  # after which a run makes room for another, if there is none
BEAT_SECONDS = 5  # within which pages are told once of all heartbeats
SECOND = 5.0  # by which the beginning of a run may vary from request to request


def take_heartbeats(
    db: Database, secret: str, body: bytes, *, draw: Callable[[int], int] = secrets.randbelow, now: float
) -> HeartbeatReceipt:
    """Take heartbeats of a run. What is known already changes nothing.

    Args:
        db: the event's database.
        secret: the participant's.
        body: of the request: see `rules.race.parse_heartbeats`.
        draw: returns a random whole number below its argument.
        now: seconds since the epoch.

    Raises:
        BadSecret: The secret has the wrong form; or a ticket is needed, as for an entry.
        BadHeartbeat: No trainer sends this.
        WrongState: The room does not train now.
        RaceOff: The organizer has switched the race off.
        RaceFull: There are too many runs.
        RunReplaced: A newer run of this participant is shown.
        HeartbeatTooSoon: The latest request of this participant was a moment ago.
    """
    try:
        sent = parse_heartbeats(body)
    except ValueError as error:
        raise BadHeartbeat(str(error)) from None

    def job(session: Session) -> HeartbeatReceipt:
        event = the_event(session)
        require(event, Action.SEND_HEARTBEAT)
        if not event.race:
            raise RaceOff
        identify(session, secret).require_entry()
        racer = racer_id_of(secret)
        row = session.get(RaceRun, racer)
        if row is not None and now - row.heard_at < (MIN_SECONDS if row.run == sent.run else NEW_RUN_SECONDS):
            raise HeartbeatTooSoon
        if row is None or row.run != sent.run:
            row = _begin(session, row, racer, sent, draw, now)
        _add(session, row, sent, now)
        session.flush()
        return HeartbeatReceipt(row.nickname, row.step)

    return db.submit(job)


def _begin(
    session: Session, before: RaceRun | None, racer: str, sent: Heartbeats, draw: Callable[[int], int], now: float
) -> RaceRun:
    """Begin the curve of a run, in place of the one before.

    Args:
        session: a writing transaction.
        before: the participant's run until now.
        racer: the participant's id in the race.
        sent: the first heartbeats.
        draw: returns a random whole number below its argument.
        now: seconds since the epoch.
    """
    if before is not None:
        if now - sent.age < before.begun_at - SECOND:
            raise RunReplaced
        _remove(session, before)
    elif (session.scalar(select(func.count()).select_from(RaceRun)) or 0) >= MAX_RUNS:
        silent = session.scalar(select(RaceRun).order_by(RaceRun.heard_at).limit(1))
        if silent is None or now - silent.heard_at < SILENT_SECONDS:
            raise RaceFull(MAX_RUNS)
        _remove(session, silent)
    hidden = before is not None and before.hidden  # a new run does not undo what the organizer has hidden
    nickname = draw_nickname(set(session.scalars(select(RaceRun.nickname))), draw)
    times = {"begun_at": now - max(0.0, sent.age), "heard_at": now, "anchor_at": now, "anchor_minutes": 0.0}
    counts = {"step": -1, "steps": 0, "minutes": 0.0, "points": 0}
    row = RaceRun(racer_id=racer, run=sent.run, nickname=nickname, sample="", hidden=hidden, **times, **counts)
    session.add(row)
    session.flush()
    return row


def _remove(session: Session, row: RaceRun) -> None:
    session.execute(delete(RacePoint).where(RacePoint.racer_id == row.racer_id))
    session.delete(row)
    session.flush()


def _add(session: Session, row: RaceRun, sent: Heartbeats, now: float) -> None:
    """Add what is new to a curve, and thin it where it gets too long."""
    for beat in sent.beats:
        if beat.step <= row.step or beat.minutes < row.minutes:
            continue
        live = is_seen_live(beat, Anchor(row.anchor_at, row.anchor_minutes), now)
        if not live:
            row.anchor_at, row.anchor_minutes = now, beat.minutes
        if beat.bits is not None:
            values = {"minutes": beat.minutes, "bits": beat.bits, "seen_live": live, "checkpoint": beat.checkpoint}
            session.add(RacePoint(racer_id=row.racer_id, step=beat.step, **values))
            row.points += 1
        row.step, row.steps, row.minutes = beat.step, beat.steps, beat.minutes
        row.sample = beat.sample or row.sample
    row.heard_at = now
    if row.points > MAX_POINTS:
        session.flush()
        mine = RacePoint.racer_id == row.racer_id
        steps = list(session.scalars(select(RacePoint.step).where(mine).order_by(RacePoint.step)))
        kept = set(thin(steps, MAX_POINTS // 2))
        session.execute(delete(RacePoint).where(mine, RacePoint.step.in_([step for step in steps if step not in kept])))
        row.points = len(kept)


def count_race(session: Session, event: Event, now: float) -> RaceCounts | None:
    """Count the curves that are shown, in the caller's transaction; None while none is."""
    if not event.race or state_at(event, now) != "open":
        return None
    query = select(func.count(), func.max(RaceRun.heard_at)).where(RaceRun.hidden.is_(False))
    runs, heard_at = session.execute(query).one()
    return RaceCounts(runs, int(heard_at // BEAT_SECONDS)) if runs else None


def get_race(db: Database) -> RaceView:
    """Return the race for everybody. From the draw on it is gone: a bundle's record could be compared with a curve."""
    with db.reading() as session:
        event = the_event(session)
        if not event.race or not allows(event.state, Action.SEND_HEARTBEAT):
            return RaceView(False, [])
        points: dict[str, list[CurvePoint]] = {}
        columns = (RacePoint.racer_id, RacePoint.minutes, RacePoint.bits, RacePoint.seen_live)
        for racer, minutes, bits, live in session.execute(
            select(*columns).order_by(RacePoint.racer_id, RacePoint.step)
        ):
            points.setdefault(racer, []).append(CurvePoint(round(minutes, 2), round(bits, 3), live))
        curves = [
            Curve(
                nickname=row.nickname,
                step=max(0, row.step),
                steps=row.steps,
                minutes=round(row.minutes, 2),
                points=thin(points.get(row.racer_id, []), shown_points(len(points))),
                sample=row.sample.split("\n") if row.sample else [],
            )
            for row in session.scalars(select(RaceRun).where(RaceRun.hidden.is_(False)))
        ]
    return RaceView(True, sorted(curves, key=lambda curve: (curve.best is None, curve.best, curve.nickname)))


def own_nickname(db: Database, secret: str) -> str | None:
    """Return the nickname of the curve of whoever has this secret."""
    with db.reading() as session:
        row = session.get(RaceRun, racer_id_of(secret))
        return row.nickname if row is not None else None


def list_race(db: Database) -> RaceList:
    """Return the race for the organizer, hidden curves included."""
    with db.reading() as session:
        event = the_event(session)
        latest = dict(
            session.execute(
                select(RacePoint.racer_id, RacePoint.bits)
                .join(RaceRun, RaceRun.racer_id == RacePoint.racer_id)
                .order_by(RacePoint.step)
            ).all()
        )
        rows = session.scalars(select(RaceRun).order_by(RaceRun.nickname))
        curves = [
            ListedCurve(
                nickname=row.nickname,
                hidden=row.hidden,
                step=max(0, row.step),
                steps=row.steps,
                minutes=row.minutes,
                bits=latest.get(row.racer_id),
                sample=row.sample,
                heard_at=row.heard_at,
            )
            for row in rows
        ]
        return RaceList(event.race, curves)


def set_race(db: Database, on: bool, *, seen: int | None = None, now: float) -> None:
    """Show the race, or switch it off for everybody.

    Args:
        db: the event's database.
        on: whether it is shown.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: It was switched since the caller was shown it.
    """
    with db.writing() as session:
        event = the_event(session)
        require_unchanged(session, seen, {"race-set": "the race was switched on or off"})
        if event.race != on:
            event.race = on
            append(session, "race-set", {"on": on}, now=now)


def hide_curve(db: Database, nickname: str, *, hidden: bool = True, seen: int | None = None, now: float) -> None:
    """Hide a curve and its samples, or show it again. A later run of the same participant stays hidden, too.

    Args:
        db: the event's database.
        nickname: of the curve, in any spelling of its letters' case.
        hidden: False to show it again.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        CurveNotFound: No curve has this nickname.
        AlreadyDone: It was hidden or shown since the caller was shown it.
    """
    wanted = " ".join(nickname.split()).casefold()
    with db.writing() as session:
        rows = session.scalars(select(RaceRun))
        row = next((row for row in rows if row.nickname.casefold() == wanted), None)
        if row is None:
            raise CurveNotFound
        require_unchanged(session, seen, {"curve-set": "this curve was hidden or shown"}, curve=row.nickname)
        if row.hidden != hidden:
            row.hidden = hidden
            append(session, "curve-set", {"curve": row.nickname, "hidden": hidden}, now=now)
