"""What comparing a bundle with a training of its written plan gave, part by part. This needs no NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Agreement = Literal["agrees", "does not agree", "cannot be compared"]

PARTS: dict[str, str] = {
    "event": "it was trained for this event, by this author",
    "record": "the written plan, the curve and the model fit together",
    "curve": "the losses on the way",
    "loss": "the loss on held-out text",
    "verse": "the surprisal of the verse",
    "likeness": "the direction of the weights",
    "weights": "the weights, bit for bit",
}
MAX_DETAIL = 300  # characters


@dataclass(frozen=True)
class Comparison:
    """What comparing one part gave. It is advice: no verdict follows from it."""

    part: str  # a key of `PARTS`
    verdict: Agreement
    detail: str  # a sentence; may hold untrusted text

    @classmethod
    def from_dict(cls, data: object) -> Comparison:
        """Read what another process wrote.

        Raises:
            ValueError: It is anything else.
        """
        match data:
            case {"part": str(part), "verdict": verdict, "detail": str(detail), **rest} if not rest:
                if part in PARTS and verdict in get_args(Agreement):
                    return cls(part, verdict, detail[:MAX_DETAIL])
        raise ValueError("not a comparison")
