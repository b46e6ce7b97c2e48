"""Damaged bundles by number: the same number damages in the same way on every machine, so a find can be told by it."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable
from typing import Any

from tests.support.bundle_parts import Parts, bundle
from trainer.verse.bundle import parse_bundle
from trainer.verse.certificate import ids_digest
from trainer.verse.errors import BundleError
from trainer.verse.model import VerseModel
from trainer.verse.replay import replay
from trainer.verse.text import length_of, verse_text

ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        8,
        10,
        255,
        256,
        1024,
        2**16,
        2**31,
        2**32,
        2**53,
        2**63,
        2**64,
        10**300,
        -(2**63),
    ),
    *(0.0, -0.0, 0.5, 1.0, 1e-300, 1e308, 3.25),
    *("", " ", "\n", "\0", "a", "F16", "F32", "modern", "gpt2", "char", "bpe", "é", "\u202e", "😀", "\x1b[2J", "../x"),
    *([], {}, [0], [[]], [0, 0], {"a": 1}, {"kind": "bpe", "merges": []}, {"kind": "char", "symbols": "ab"}, ["x"] * 3),
)
SNIPPETS = (
    b"",
    b"\0",
    b"\xff",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"NaN",
    b"1e999",
)


def odd(rng: random.Random) -> Any:
    """A value that does not belong here; a fresh one, since what follows may damage it further."""
    return copy.deepcopy(rng.choice(ODD))


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterable[tuple[Any, ...]]:
    """Where everything within a JSON value stands."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*at, key)
        yield from paths(child, (*at, key))


def damage_value(rng: random.Random, value: Any) -> None:
    """Change, drop, add, copy or exchange something within a JSON value."""
    places = list(paths(value))
    if not places:
        return
    path = rng.choice(places)
    container = value
    for key in path[:-1]:
        container = container[key]
    key = path[-1]
    match rng.randrange(6):
        case 0 if isinstance(container[key], int) and not isinstance(container[key], bool):
            container[key] += rng.choice((-1, 1, 2, -2, 7, 256))
        case 1 if isinstance(container[key], str) and container[key]:
            text, place = container[key], rng.randrange(len(container[key]))
            container[key] = text[:place] + rng.choice(("", "x", "\n", "\0", "\u2067", text)) + text[place + 1 :]
        case 2:
            del container[key]
        case 3 if isinstance(container, list):
            container.insert(key, odd(rng))
        case 3:
            container[rng.choice(("x", "", "arch", "__metadata__", str(key) + "s"))] = odd(rng)
        case 4:
            other = value
            for step in rng.choice(places):
                other = other[step]
            container[key] = copy.deepcopy(other)
        case _:
            container[key] = odd(rng)


def damage_bytes(rng: random.Random, data: bytes) -> bytes:
    """Flip, cut, insert, double or overwrite somewhere; in the header more often than in the long rest."""
    at = rng.randrange(min(len(data), rng.choice((9, 600, 2200, len(data)))))
    match rng.randrange(7):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case 1:
            return data[:at]
        case 2:
            return data[:at] + rng.choice(SNIPPETS) + data[at + 1 :]
        case 3:
            return data[:at] + rng.choice(SNIPPETS) + data[at:]
        case 4:
            length = rng.randrange(1, 200)
            return data[: at + length] + data[at:]
        case 5:
            return data[:at] + data[at + rng.randrange(1, 40) :]
        case _:
            return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:]


def mutant(number: int) -> bytes:
    """The damaged bundle of this number."""
    rng = random.Random(number)
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(64)) if rng.random() < 0.02 else _bytes(rng, bundle())
    parts = Parts.fresh()
    for _ in range(rng.choice((1, 1, 2, 3))):
        damage_value(rng, parts.claim if kind < 3 else parts.entries)
    if rng.random() < 0.5:
        _make_whole(parts)
    if rng.random() < 0.1:
        parts.keep_digest = True
    data = parts.build()
    return _bytes(rng, data) if rng.random() < 0.1 else data


def _bytes(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        data = damage_bytes(rng, data) or b"\0"
    return data


def _make_whole(parts: Parts) -> None:
    """Let the certificate fit the ids again, so that damage gets past it."""
    claim = parts.claim
    try:
        claim["certificate"] |= {"ids_sha256": ids_digest(claim["verse"]["ids"]), "tokens": len(claim["verse"]["ids"])}
        symbols = claim["tokenizer"]["symbols"]
        claim["verse"]["text"] = "".join(symbols[token] for token in claim["verse"]["ids"])
    except (KeyError, TypeError, IndexError, ValueError, OverflowError, AttributeError):
        return


def taken(data: bytes) -> str:
    """Give bytes to the reader: the code it refuses them by, or "taken", and then everything it promised is true.

    Anything but a `BundleError`, or a promise broken, comes out as an exception.
    """
    try:
        read = parse_bundle(data)
    except BundleError as error:
        if not str(error).isprintable() or len(str(error)) > 400:
            raise AssertionError(f"an error of {len(str(error))} characters: {str(error)[:200]!r}") from error
        return error.code
    claim = read.claim
    promises = (
        claim.size == len(data),
        length_of(claim.vocabulary, claim.recipe, claim.ids) == len(claim.ids),
        verse_text(claim.vocabulary, claim.recipe, claim.ids) == claim.text,
        claim.vocabulary.size == claim.config.vocab_size,
        {name: weight.shape for name, weight in read.weights.items()} == claim.config.tensor_shapes(),
    )
    if not all(promises):
        raise AssertionError(f"taken, but {promises}")
    replay(VerseModel(claim.config, read.weights), claim.recipe, claim.ids)  # whatever it finds, it finds something
    return "taken"


def fuzz(first: int, count: int) -> dict[str, int]:
    """Try the damaged bundles of these numbers; how many met which code. A crash names its number."""
    met: dict[str, int] = {}
    for number in range(first, first + count):
        try:
            code = taken(mutant(number))
        except Exception as error:
            raise AssertionError(f"the damaged bundle number {number} escaped: {error!r}") from error
        met[code] = met.get(code, 0) + 1
    return met
