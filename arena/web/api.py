"""The API for `trainer submit`, upload.js and arena.js. `web.routes` has its routes, openapi.json describes it.

`Authorization: Bearer SECRET` says whose entry it is. A browser may send its cookie instead, together with the token of
a form in X-Form-Token, which a page of another site cannot know.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint, Response, request

from arena.services import claims, entries, events, queries, uploads
from arena.services import race as race_service
from arena.services.receipts import key_fingerprint, prove, public_key_of
from arena.services.schemas import to_json
from arena.web import openapi, routes, security
from arena.web.assets import Asset
from arena.web.context import get_context
from arena.web.form_uploads import link_of
from arena.web.refusal import Refusal
from arena.web.routes import Route
from arena.web.schemas import (
    ClaimRequest,
    ClaimResponse,
    Corpus,
    EntryRequest,
    EventRequest,
    EventResponse,
    HeartbeatsRequest,
    Limits,
    LogHead,
    PieceRequest,
    PieceResponse,
    SignedReceipt,
)
from trainer.verse.bundle_file import MAX_BUNDLE_BYTES

api = Blueprint("api", __name__)
CHALLENGE = re.compile("[0-9a-f]{32,128}")
View = TypeVar("View", bound=Callable[..., Any])


def handles(route: Route) -> Callable[[View], View]:
    """Register the function that handles a route."""
    return api.route(route.rule, methods=[route.method], endpoint=route.name)


@handles(routes.ENTER)
def enter() -> Response:
    """Take a claim."""
    ctx = get_context()
    secret = _secret()
    arguments = {name: request.args.get(name, "") for name in ("name", "replace")}
    claim = ClaimRequest(header=request.get_data(), authors=request.headers.get("Co-Authors", ""), **arguments)
    receipt = claims.take_claim(
        ctx.db,
        ctx.bundles,
        ctx.spool,
        claim.header,
        secret,
        claim.name,
        replace=claim.replace == "1",
        authors=claim.authors.replace(",", " ").split(),
        key=ctx.settings.receipt_key,
        now=ctx.now,
    )
    response = ClaimResponse(
        entry=receipt.entry,
        offset=receipt.offset,
        size=receipt.size,
        state=receipt.state,
        receipt=SignedReceipt(**receipt.fields(), signature=receipt.signature),
        link=link_of(secret),
    )
    return _json(response, 200 if receipt.repeated else 201)


@handles(routes.SEND_PIECE)
def send_piece(entry_id: str) -> Response:
    """Take a piece of a bundle."""
    ctx = get_context()
    secret = _secret()
    piece = PieceRequest(entry_id=entry_id, offset=_offset(), piece=request.get_data())
    status = uploads.take_piece(
        ctx.db, ctx.bundles, ctx.spool, piece.entry_id, secret, piece.offset, piece.piece, now=ctx.now
    )
    return _json(PieceResponse(offset=status.received, state=status.state))


@handles(routes.ENTRY_STATUS)
def entry_status(entry_id: str) -> Response:
    """Show an entry to its owner."""
    ctx = get_context()
    return _json(entries.entry_status(ctx.db, EntryRequest(entry_id).entry_id, _secret(), now=ctx.now))


@handles(routes.WITHDRAW)
def withdraw(entry_id: str) -> Response:
    """Withdraw an entry."""
    ctx = get_context()
    return _json(entries.withdraw(ctx.db, EntryRequest(entry_id).entry_id, _secret(), now=ctx.now))


@handles(routes.HEARTBEATS)
def heartbeats() -> Response:
    """Take heartbeats of a training."""
    ctx = get_context()
    sent = HeartbeatsRequest(request.get_data())
    return _json(race_service.take_heartbeats(ctx.db, _secret(), sent.body, now=ctx.now))


@handles(routes.RACE)
def race() -> Response:
    """Show the race: the same for everybody, and kept until there is something new."""
    ctx = get_context()
    state = ctx.snapshot()

    def render() -> Asset:
        return Asset.of(to_json(race_service.get_race(ctx.db)), "application/json")

    asset = ctx.cached("race", (state.race, state.version, state.phase, state.epoch), render)
    response = asset.response(request)
    response.set_etag(asset.digest, weak=True)
    response.headers["Cache-Control"] = "no-cache"
    response.make_conditional(request)
    return response


@handles(routes.STATE)
def state() -> Response:
    """Show the snapshot. On a server, the gateway answers this route from memory."""
    response = _json(get_context().snapshot())
    response.set_etag(hashlib.sha256(response.get_data()).hexdigest()[:32])
    response.headers["Cache-Control"] = "no-cache"
    response.make_conditional(request)
    return response


@handles(routes.EVENTS)
def listen() -> Response:
    """Refuse: on a server, the gateway answers this route, without a thread for each who listens."""
    raise Refusal(503, "too-many-streams", "Nobody can listen for changes here: ask for the state instead.", 30)


@handles(routes.EVENT)
def event() -> Response:
    """Show what a verse must keep to."""
    ctx = get_context()
    event = events.current_event(ctx.db)
    return _json(
        EventResponse(
            name=event.name,
            state=event.state,
            admission=event.admission,
            closes_at=event.closes_at,
            grace_ends_at=event.grace_ends_at,
            limits=Limits(
                lines=event.rules.lines,
                characters=event.rules.characters,
                prompt_characters=event.rules.prompt_characters,
                author_characters=claims.MAX_AUTHOR,
                piece_bytes=uploads.PIECE_BYTES,
                bundle_bytes=MAX_BUNDLE_BYTES,
                entries_without_verdict=event.rules.max_open,
                entries_per_owner=event.rules.max_claims,
            ),
            corpus=Corpus(name=ctx.settings.corpus, sha256=ctx.settings.corpus_sha256),
            receipt_key=public_key_of(ctx.settings.receipt_key),
            proof=prove(ctx.settings.receipt_key, challenge) if (challenge := _challenge()) else None,
            key_fingerprint=key_fingerprint(ctx.settings.receipt_key),
            nonce=event.nonce,
            log=LogHead(*queries.log_head(ctx.db)),
        )
    )


@api.get(routes.OPENAPI)
def description() -> Response:
    """Show the OpenAPI description."""
    return Response(openapi.FILE.read_bytes(), mimetype="application/json")


def _challenge() -> str:
    """Return the challenge of the query; "" if there is none.

    Raises:
        Refusal: It has another form.
    """
    text = EventRequest(request.args.get("challenge", "")).challenge
    if text and CHALLENGE.fullmatch(text) is None:
        raise Refusal(422, "challenge", "A challenge has 32 to 128 hexadecimal digits: send a fresh one.")
    return text


def _json(value: object, status: int = 200) -> Response:
    return Response(to_json(value), status, mimetype="application/json")


def _offset() -> int:
    """Return the header Upload-Offset.

    Raises:
        Refusal: It is missing or no number.
    """
    text = request.headers.get("Upload-Offset", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise Refusal(400, "no-offset", "Say where the piece starts: send the header `Upload-Offset: N`.")
    return int(text)


def _secret() -> str:
    """Return the secret of whoever asks.

    Raises:
        Refusal: There is none, or a cookie without the token of a form.
    """
    if (secret := security.bearer(request.headers.get("Authorization", ""))) is not None:
        return secret
    known = security.known_voter()
    token = request.headers.get(security.TOKEN_HEADER)
    if known is not None and token:
        security.check_form_token(token)
        return known
    raise security.no_secret()
