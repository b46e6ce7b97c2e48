"""The certificate of a verse: its writer's own statement, recomputed by every verifier and never trusted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from trainer.verse.errors import VerseError, short

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ENGINE = "verse-1"  # changes when the same bundle could give another verse
GAP_TOLERANCE = 1e-9  # two honest machines compute the smallest gap this closely


@dataclass(frozen=True)
class Certificate:
    """The closest decision of a verse, and the digest of its tokens.

    Raises:
        VerseError: A value is one that no verse can have.
    """

    smallest_gap: float  # in units of a logit, 0 or more
    position: int  # index of the token with this gap, from 0
    tokens: int  # length of the verse
    ids_sha256: str  # of the ids as unsigned 32-bit big-endian numbers
    engine: str  # the definition by which the verse was written, ENGINE

    def __post_init__(self) -> None:
        number = isinstance(self.smallest_gap, int | float) and not isinstance(self.smallest_gap, bool)
        if not number or not 0 <= self.smallest_gap < math.inf:
            raise VerseError(
                f"a certificate's smallest_gap must be a number, 0 or more, not {short(self.smallest_gap)}"
            )
        if type(self.tokens) is not int or type(self.position) is not int or not 0 <= self.position < self.tokens:
            raise VerseError(
                f"a certificate's position {short(self.position)} must lie within its {short(self.tokens)} tokens"
            )
        if not isinstance(self.ids_sha256, str):
            raise VerseError("a certificate's ids_sha256 must be a string")
        if self.engine != ENGINE:
            raise VerseError(f"the certificate is of engine {short(self.engine)}; this program knows {ENGINE!r}")

    @classmethod
    def of(cls, ids: Sequence[int], gaps: NDArray[np.float64]) -> Certificate:
        """Return the certificate of a verse; `gaps[i]` is the gap of the decision for `ids[i]`."""
        position = int(gaps.argmin())
        return cls(float(gaps[position]), position, len(ids), ids_digest(ids), ENGINE)

    def agrees_with(self, other: Certificate) -> bool:
        """Whether both are about the same verse and gap. Positions may differ if two gaps are equal."""
        same_verse = (self.tokens, self.ids_sha256) == (other.tokens, other.ids_sha256)
        return same_verse and abs(self.smallest_gap - other.smallest_gap) <= GAP_TOLERANCE

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as a bundle stores it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> Certificate:
        """Read what `to_dict` wrote.

        Raises:
            VerseError: A key is missing or unknown, or a value is one that no verse can have.
        """
        if not isinstance(data, dict) or set(data) != set(cls.__dataclass_fields__):
            raise VerseError(f"a certificate must have exactly the keys {', '.join(cls.__dataclass_fields__)}")
        return cls(**data)


def ids_digest(ids: Sequence[int]) -> str:
    """Return the SHA-256, in hexadecimal, of token ids as unsigned 32-bit big-endian numbers.

    >>> ids_digest([1])[:16]
    'b40711a88c703975'
    """
    return hashlib.sha256(b"".join(token.to_bytes(4) for token in ids)).hexdigest()
