"""Strict JSON for untrusted data: a text has exactly one meaning, or is an error."""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 64  # nested arrays and objects: far below Python's recursion limit


def parse(data: bytes) -> Any:
    """Parse UTF-8 JSON strictly.

    Raises:
        ValueError: It has invalid UTF-8 or JSON, a repeated key, a number beyond float64, the integer -0, half a
            surrogate pair, or too deep nesting; the message says which.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"invalid UTF-8 at byte {error.start}") from None
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_int=_whole, parse_float=_finite, parse_constant=_finite
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # an escape can stand for half a surrogate pair
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos}") from None
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair in a string") from None
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    _check_depth(value)
    return value


def dump(value: object) -> bytes:
    """Return JSON with one spelling for equal values: sorted keys, no spaces, UTF-8.

    Raises:
        ValueError: A number is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key[:80]!r} stands twice")
        result[key] = value
    return result


def _check_depth(value: object) -> None:
    """Refuse deep nesting by a fixed limit, since the interpreter's limit differs between machines."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner = [item for item in level if isinstance(item, dict | list)]
        if not inner:
            return
        level = [child for item in inner for child in (item.values() if isinstance(item, dict) else item)]
    raise ValueError(f"nested more than {MAX_DEPTH} deep")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is not a finite number")
    return number


def _whole(text: str) -> int:
    if text == "-0":
        raise ValueError("-0 is not an integer: some programs read it as 0, some as -0.0")
    _finite(text)  # Python's limit on the digits of an integer can be configured
    return int(text)
