"""The routes of the API, each stated once: for Flask, request limits, the gateway, scripts and the description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from arena.services.schemas import EntryStatus, HeartbeatReceipt, RaceView, Snapshot
from arena.web import schemas

API = "/api/v1"


@dataclass(frozen=True)
class Route:
    """One method of one address."""

    name: str  # of Flask's endpoint, and the operationId of the description
    method: str
    path: str  # parameters in braces, as OpenAPI writes them
    summary: str
    responses: Mapping[int, type | None]  # by HTTP status, without errors; None: no body
    request: type | None = None  # a dataclass of `web.schemas`
    secret: bool = False  # the caller must say whose entry it is
    media_type: str = "application/json"  # of a response without an error

    @property
    def rule(self) -> str:
        """The path as Flask writes it."""
        return re.sub(r"\{(\w+)\}", r"<\1>", self.path)

    @property
    def pattern(self) -> re.Pattern[str]:
        """A regular expression that matches the path."""
        return re.compile(re.sub(r"\{\w+\}", "[^/]*", self.path))


ENTRIES = f"{API}/entries"
ENTER = Route(
    name="enter",
    method="POST",
    path=ENTRIES,
    summary="Enter a verse: send the header of its bundle. The same header again gives the same receipt.",
    responses={201: schemas.ClaimResponse, 200: schemas.ClaimResponse},
    request=schemas.ClaimRequest,
    secret=True,
)
SEND_PIECE = Route(
    name="send_piece",
    method="PATCH",
    path=f"{ENTRIES}/{{entry_id}}",
    summary="Send the next bytes of a bundle. An error 409 with `offset` says where to continue.",
    responses={200: schemas.PieceResponse},
    request=schemas.PieceRequest,
    secret=True,
)
ENTRY_STATUS = Route(
    name="entry_status",
    method="GET",
    path=f"{ENTRIES}/{{entry_id}}",
    summary="Show an entry to its owner.",
    responses={200: EntryStatus},
    request=schemas.EntryRequest,
    secret=True,
)
WITHDRAW = Route(
    name="withdraw",
    method="DELETE",
    path=f"{ENTRIES}/{{entry_id}}",
    summary="Withdraw an entry, until the bracket is drawn.",
    responses={200: EntryStatus},
    request=schemas.EntryRequest,
    secret=True,
)
STATE = Route(
    name="state",
    method="GET",
    path=f"{API}/state",
    summary="Show the state of the event, the same for everybody. The status is 304 if the ETag has not changed.",
    responses={200: Snapshot, 304: None},
)
EVENTS = Route(
    name="events",
    method="GET",
    path=f"{API}/events",
    summary="Listen for changes: server-sent events. The data of each event `state` is what the state shows.",
    responses={200: Snapshot},
    media_type="text/event-stream",
)
EVENT = Route(
    name="event",
    method="GET",
    path=f"{API}/event",
    summary="Show what a verse must keep to, and the public key of receipts.",
    responses={200: schemas.EventResponse},
    request=schemas.EventRequest,
)
HEARTBEATS = Route(
    name="heartbeats",
    method="POST",
    path=f"{API}/heartbeats",
    summary="Tell the race of a training. What is known already changes nothing; the answer says from where to go on.",
    responses={200: HeartbeatReceipt},
    request=schemas.HeartbeatsRequest,
    secret=True,
)
RACE = Route(
    name="race",
    method="GET",
    path=f"{API}/race",
    summary="Show the trainings under their nicknames, until the bracket is drawn. The status is 304 if unchanged.",
    responses={200: RaceView, 304: None},
)
ROUTES = (ENTER, SEND_PIECE, ENTRY_STATUS, WITHDRAW, HEARTBEATS, RACE, STATE, EVENTS, EVENT)
OPENAPI = f"{API}/openapi.json"
