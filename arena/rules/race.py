"""The race of the trainings: what a heartbeat may say, which were seen live, and the nicknames of the curves."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from trainer.verse import strictjson
from trainer.verse.characters import clean, clean_line, cut
from trainer.verse.errors import LineError

MAX_BYTES = 16_384  # of one request
MAX_BEATS = 64  # of one request
MAX_POINTS = 600  # that are kept of one run; beyond that, every second one is removed
SHOWN_POINTS = 90  # of one curve, on a page
FEWEST_POINTS = 20  # of one curve, however many there are
POINTS_OF_ALL = 4_000  # on a page, about: a phone asks for them again and again
MAX_STEPS = 10_000_000
MAX_MINUTES = 7 * 24 * 60.0
MAX_BITS = 32.0  # of a loss in bits per character: no model of text is worse
SAMPLE_LINES = 2
MAX_LINES = 20  # of a sample that are looked at
LINE_CHARACTERS = 60  # of a line of a sample, at most
LATEST = 1e11  # seconds since the epoch
LIVE_SECONDS = 60.0  # a heartbeat that arrives later was not seen live
EARLY_SECONDS = 5.0  # by which a trainer's clock may run ahead of itself
RUN_ID, DIGEST = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{64}")
FIELDS = {"at", "step", "steps", "minutes", "bits", "checkpoint", "sample"}
T = TypeVar("T")

# Two short words that say nothing about anybody.
FIRST = """
Amber Autumn Blue Brass Bright Calm Cedar Clear Copper Coral Crimson Distant Early Ember Evening Faint Gentle
Golden Green Hidden Hollow Indigo Ivory Jade Late Linen Lucid Maple Marble Mellow Misty Morning Northern Olive
Opal Paper Pearl Plain Quiet Rainy Russet Salt Scarlet Silent Silver Slate Snowy Southern Still Sunny Swift
Tawny Velvet Violet Walnut Willow Winter Woven
"""
SECOND = """
Acorn Anchor Barley Beacon Bell Birch Bridge Brook Candle Canyon Cloud Comet Compass Cricket Delta Dune Falcon
Feather Fern Finch Fjord Garden Glacier Grove Harbour Heron Island Ivy Kestrel Kite Lake Lantern Lark Ledger
Lily Loom Meadow Mill Moss Oak Orchard Otter Owl Pebble Pine Plover Pond Quill Rain Reed River Robin Sail
Sparrow Spire Star Stone Swallow Thistle Tide Tower Valley Wave Wharf Wren
"""


@dataclass(frozen=True)
class Beat:
    """One heartbeat: what a trainer says of its run. Nobody can check it."""

    lag: float  # seconds between its record and its sending, by the trainer's clock alone
    step: int  # updates done
    steps: int  # updates planned
    minutes: float  # of training
    bits: float | None  # validation loss in bits per character; None: not evaluated at this step
    checkpoint: str | None  # SHA-256 of the newest checkpoint, hexadecimal
    sample: str  # what the model wrote, at most two lines; "": nothing is to be shown


@dataclass(frozen=True)
class Heartbeats:
    """The heartbeats of one request."""

    run: str  # id, which the trainer drew
    age: float  # seconds since the run began, by the trainer's clock alone
    beats: list[Beat]  # in the order of their steps


@dataclass(frozen=True)
class Anchor:
    """Where the time of a run is measured from."""

    at: float  # seconds since the epoch, by the server's clock
    minutes: float  # of training, then


def parse_heartbeats(body: bytes) -> Heartbeats:
    """Read the body of a request; texts are cleaned, and cut.

    Raises:
        ValueError: It is not what a trainer sends; the message says why.
    """
    if len(body) > MAX_BYTES:
        raise ValueError(f"they are longer than {MAX_BYTES:,} bytes")
    match strictjson.parse(body):
        case {"run": str(run), "begun_at": begun_at, "sent_at": sent_at, "beats": list(beats), **rest} if not rest:
            sent, begun = _number(sent_at, "sent_at", 0.0, LATEST), _number(begun_at, "begun_at", 0.0, LATEST)
        case _:
            raise ValueError("they are not an object with run, begun_at, sent_at and beats")
    if RUN_ID.fullmatch(run) is None:
        raise ValueError("the run is not 32 hexadecimal digits")
    if len(beats) > MAX_BEATS:
        raise ValueError(f"one request holds at most {MAX_BEATS}")
    read = [_parse_beat(beat, sent) for beat in beats]
    pairs = itertools.pairwise(read)
    if any(after.step <= before.step or after.minutes < before.minutes for before, after in pairs):
        raise ValueError("steps must grow and minutes must not fall")
    return Heartbeats(run, sent - begun, read)


def _parse_beat(beat: object, sent_at: float) -> Beat:
    if not isinstance(beat, dict) or not beat.keys() <= FIELDS or not FIELDS - {"sample"} <= beat.keys():
        raise ValueError(f"a heartbeat has the fields {', '.join(sorted(FIELDS))}, and no others")
    step, steps, checkpoint, sample = beat["step"], beat["steps"], beat["checkpoint"], beat.get("sample", "")
    if type(step) is not int or type(steps) is not int or not 0 <= step <= steps <= MAX_STEPS:
        raise ValueError(f"step and steps are whole numbers, 0 <= step <= steps <= {MAX_STEPS:,}")
    if checkpoint is not None and (not isinstance(checkpoint, str) or DIGEST.fullmatch(checkpoint) is None):
        raise ValueError("a checkpoint is named by 64 hexadecimal digits")
    if not isinstance(sample, str):
        raise ValueError("a sample is text")
    return Beat(
        lag=sent_at - _number(beat["at"], "at", 0.0, LATEST),
        step=step,
        steps=steps,
        minutes=_number(beat["minutes"], "minutes", 0.0, MAX_MINUTES),
        bits=None if beat["bits"] is None else _number(beat["bits"], "bits", 0.0, MAX_BITS),
        checkpoint=checkpoint,
        sample=clean_sample(sample),
    )


def _number(value: Any, name: str, least: float, most: float) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or not least <= value <= most:
        raise ValueError(f"{name} is a number from {least:g} to {most:g}")
    return float(value)


def clean_sample(text: str) -> str:
    """Return the first two lines of a sample that hold something, in characters that can be seen, and cut.

    >>> clean_sample("O moon,\\u200b thou\\n\\n\\x1b[2J up\\nand away\\nat last")
    'O moon, thou\\nand away'
    """
    lines = []
    for line in text.split("\n")[:MAX_LINES]:
        with contextlib.suppress(LineError):  # it is empty, or would show otherwise than it is
            lines.append(clean_line(cut(clean(line).text, LINE_CHARACTERS), LINE_CHARACTERS))
    return "\n".join(lines[:SAMPLE_LINES])


def is_seen_live(beat: Beat, anchor: Anchor, now: float) -> bool:
    """Whether a heartbeat arrived when its run had just come there.

    A trainer may lie about the time of a record; it cannot have trained longer than the server has known the run.

    Args:
        beat: the heartbeat.
        anchor: of its run.
        now: seconds since the epoch.
    """
    is_prompt = -EARLY_SECONDS <= beat.lag <= LIVE_SECONDS
    return is_prompt and 60 * (beat.minutes - anchor.minutes) <= now - anchor.at + LIVE_SECONDS


def draw_nickname(taken: Collection[str], draw: Callable[[int], int]) -> str:
    """Draw a nickname that no other curve has. It follows from nothing but chance.

    Args:
        taken: the nicknames of other curves.
        draw: returns a random whole number below its argument.
    """
    free = [name for first in FIRST.split() for second in SECOND.split() if (name := f"{first} {second}") not in taken]
    return free[draw(len(free))]


def shown_points(curves: int) -> int:
    """Return how many points of each curve a page shows.

    >>> shown_points(40), shown_points(512)
    (90, 20)
    """
    return max(FEWEST_POINTS, min(SHOWN_POINTS, POINTS_OF_ALL // max(1, curves)))


def thin(points: Sequence[T], most: int) -> list[T]:
    """Return at most so many points, evenly spread, the first and the last among them.

    >>> thin([1, 2, 3, 4, 5, 6, 7], 4)
    [1, 3, 5, 7]
    """
    if len(points) <= most:
        return list(points)
    return [points[round(index * (len(points) - 1) / (most - 1))] for index in range(most)]
