"""Strict JSON for untrusted data: a text has exactly one meaning, or is an error."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

NESTED = (dict, list)
MAX_DEPTH = 64  # nested arrays and objects: far below Python's recursion limit

# What a text must hold before a number in it can be beyond float64 or the integer -0, or half a surrogate pair be
# written as an escape. Most texts hold none, and are then parsed without asking Python about every number and string.
_MANY_DIGITS = re.compile(r"(?<![0-9])[0-9]{200}")
_LARGE_EXPONENT = re.compile(r"[eE]\+?[0-9]{3}")
_MINUS_ZERO = re.compile(r"-0(?![.eE])")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


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
        odd = _MANY_DIGITS.search(text) or _LARGE_EXPONENT.search(text) or _MINUS_ZERO.search(text)
        whole, real = (_whole, _finite) if odd else (None, None)
        value = json.loads(text, object_pairs_hook=_object, parse_int=whole, parse_float=real, parse_constant=_finite)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # raises for half a pair
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos}") from None
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair in a string") from None
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    return value


def dump(value: object) -> bytes:
    """Return JSON with one spelling for equal values: sorted keys, no spaces, UTF-8.

    Raises:
        ValueError: A number is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if not pairs:
        return {}
    result = dict(pairs)
    if len(result) < len(pairs):
        key = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {key[:80]!r} stands twice")
    return result


def _check_depth(value: object) -> None:
    """Refuse deep nesting by a fixed limit, since the interpreter's limit differs between machines."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner = [item for item in level if isinstance(item, NESTED)]
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
