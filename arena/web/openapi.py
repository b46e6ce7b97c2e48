"""The OpenAPI 3.1 description of the API, made from its routes and dataclasses.

`python -m arena.web.openapi` writes it to openapi.json beside this file, which the server serves; a test checks that
the file is up to date.
"""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from arena.web.cookies import VOTER_COOKIE
from arena.web.routes import ROUTES, Route
from arena.web.schemas import ErrorResponse
from arena.web.security import TOKEN_HEADER

FILE = Path(__file__).with_name("openapi.json")
SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
COMMENT = re.compile(r"^    (\w+): [^#]*  # (.+)$", re.MULTILINE)
SECRET: list[dict[str, list[str]]] = [{"bearer": []}, {"cookie": [], "formToken": []}]  # one of the two


def describe() -> dict[str, Any]:
    """Return the description, as plain data for JSON."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    schemas[ErrorResponse.__name__]["additionalProperties"] = True  # the facts of an error
    return {
        "openapi": "3.1.0",
        "info": {"title": "Verse Arena", "version": "1", "description": "Enter verses, and follow the event."},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The owner's secret."},
                "cookie": {"type": "apiKey", "in": "cookie", "name": VOTER_COOKIE},
                "formToken": {"type": "apiKey", "in": "header", "name": TOKEN_HEADER},
            },
        },
    }


def render() -> str:
    """Return the text of openapi.json."""
    return json.dumps(describe(), indent=1, ensure_ascii=False) + "\n"


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": route.name, "summary": route.summary}
    if route.secret:
        operation["security"] = SECRET
    if route.request is not None:
        operation |= _request(route.request, schemas)
    responses: dict[str, type | None] = {str(status): kind for status, kind in route.responses.items()}
    responses["default"] = ErrorResponse
    operation["responses"] = {status: _response(kind, schemas, route.media_type) for status, kind in responses.items()}
    return operation


def _request(kind: type, schemas: dict[str, Any]) -> dict[str, Any]:
    """Describe parameters and body of a request; each field's metadata says where its value is."""
    types_, comments = typing.get_type_hints(kind), _comments(kind)
    parameters, body = [], None
    for field in fields(kind):
        if field.metadata["in"] == "body":
            kind_of_json = field.metadata.get("json")
            content = {"application/json": {"schema": _schema(kind_of_json, schemas)}} if kind_of_json else None
            body = {
                "required": True,
                "description": comments[field.name],
                "content": content or {"application/octet-stream": {}},
            }
        else:
            parameters.append(
                {
                    "name": field.metadata.get("name", field.name),
                    "in": field.metadata["in"],
                    "required": field.metadata.get("required", True),
                    "description": comments.get(field.name, ""),
                    "schema": _schema(types_[field.name], {}),
                }
            )
    return {"parameters": parameters} | ({"requestBody": body} if body else {})


def _response(kind: type | None, schemas: dict[str, Any], media_type: str) -> dict[str, Any]:
    if kind is None:
        return {"description": "Unchanged."}
    if kind is ErrorResponse:
        media_type = "application/json"
    content = {media_type: {"schema": _schema(kind, schemas)}}
    return {"description": inspect.cleandoc(kind.__doc__ or ""), "content": content}


def _schema(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a type; dataclasses go to `schemas` and are referred to.

    Raises:
        TypeError: The type has no JSON Schema here.
    """
    if kind in SCALARS:
        return {"type": SCALARS[kind]}
    if is_dataclass(kind) and isinstance(kind, type):
        if kind.__name__ not in schemas:
            schemas[kind.__name__] = {}  # a type that contains itself finds its name
            schemas[kind.__name__] = _object(kind, schemas)
        return {"$ref": f"#/components/schemas/{kind.__name__}"}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0], schemas)}
    if origin is types.UnionType:
        return {"anyOf": [_schema(argument, schemas) for argument in arguments]}
    raise TypeError(f"{kind} has no JSON Schema here")


def _object(kind: type, schemas: dict[str, Any]) -> dict[str, Any]:
    types_, comments = typing.get_type_hints(kind), _comments(kind)
    properties = {}
    for field in fields(kind):
        properties[field.name] = _schema(types_[field.name], schemas)
        if field.name in comments:
            properties[field.name]["description"] = comments[field.name]
    return {
        "type": "object",
        "description": inspect.cleandoc(kind.__doc__ or ""),
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _comments(kind: type) -> dict[str, str]:
    """Return the comment beside each field of a dataclass."""
    return dict(COMMENT.findall(inspect.getsource(kind)))


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
