"""The API: what `trainer submit` and upload.js speak. Answers are JSON; errors have `error`, `message` and their facts.

POST   /api/entries?name=...   body: a bundle's header     201, or 200 when repeated
PATCH  /api/entries/ID         Upload-Offset: N, a piece   200; 409 with the offset to go on from
GET    /api/entries/ID                                     200
DELETE /api/entries/ID         withdraw                    200
GET    /api/state              the snapshot, with ETag     200 or 304

Who asks is told by `Authorization: Bearer t`. A browser may use its cookie instead, with the token of a form in
X-Form-Token, which no page of another site can know.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify, make_response, request

from arena.services import entries
from arena.services.schemas import EntryStatus
from arena.web import security
from arena.web.context import get_context
from arena.web.public import link_of
from arena.web.refusal import Refusal
from trainer.verse import strictjson

api = Blueprint("api", __name__, url_prefix="/api")


def _secret() -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    known = security.known_voter()
    token = request.headers.get(security.TOKEN_HEADER)
    if known is not None and token:
        security.check_form_token(token)
        return known
    raise Refusal(401, "no-secret", "Say whose entry it is: send the header `Authorization: Bearer SECRET`.")


@api.post("/entries")
def claim() -> Response:
    ctx = get_context()
    secret = _secret()
    name = request.args.get("name", "")
    receipt = entries.take_claim(
        ctx.db, ctx.store, request.get_data(), secret, name, key=ctx.settings.receipt_key, now=ctx.now
    )
    response = jsonify(
        {
            "entry": receipt.entry,
            "offset": receipt.offset,
            "size": receipt.size,
            "state": receipt.state,
            "receipt": {**receipt.fields(), "signature": receipt.signature},
            "link": link_of(secret),
        }
    )
    response.status_code = 200 if receipt.repeated else 201
    return response


@api.patch("/entries/<entry_id>")
def piece(entry_id: str) -> Response:
    ctx = get_context()
    secret = _secret()
    offset = request.headers.get("Upload-Offset", "")
    if not (offset.isascii() and offset.isdigit() and len(offset) <= 12):
        raise Refusal(400, "no-offset", "Say where the piece starts: send the header `Upload-Offset: N`.")
    status = entries.take_piece(ctx.db, ctx.store, entry_id, secret, int(offset), request.get_data(), now=ctx.now)
    return jsonify({"offset": status.received, "state": status.state})


@api.get("/entries/<entry_id>")
def status(entry_id: str) -> Response:
    return jsonify(_shown(entries.entry_status(get_context().db, entry_id, _secret(), now=get_context().now)))


@api.delete("/entries/<entry_id>")
def withdraw(entry_id: str) -> Response:
    return jsonify(_shown(entries.withdraw(get_context().db, entry_id, _secret(), now=get_context().now)))


def _shown(found: EntryStatus) -> dict[str, Any]:
    return asdict(found)


@api.get("/state")
def state() -> Response:
    """What all phones are told. The gateway answers this from memory; asked here, it is the same."""
    body = strictjson.dump(get_context().snapshot())
    response = make_response(body)
    response.mimetype = "application/json"
    response.set_etag(hashlib.sha256(body).hexdigest()[:32])
    response.headers["Cache-Control"] = "no-cache"
    response.make_conditional(request)
    return response
