"""A real small bundle taken apart, so that a test can break one rule of SPEC.md's section 7 and keep all others."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from tests.support.bundles import Poet
from tests.support.small_models import LETTERS, random_weights
from trainer.verse.config import ModelConfig
from trainer.verse.generate import Written
from trainer.verse.recipe import Recipe

CONFIG = ModelConfig("modern", n_layer=1, n_head=1, n_embd=8, block_size=8, vocab_size=LETTERS.size)
RECIPE = Recipe(prompt_ids=(0, 4), temperature=100, top_k=8, seed=3, tokens=24, lines=0)
PROVENANCE = {"corpus": "folio", "steps": 100, "loss_curve": [[0, 4.2], [100, 2.5]], "kept": {"unknown": [None, "é"]}}
WEIGHTS = random_weights(CONFIG, seed=11)
POET = Poet(WEIGHTS, CONFIG, LETTERS)


@cache
def verse() -> Written:
    """What the small model writes; decided, and text."""
    return POET.write(RECIPE)


@cache
def bundle() -> bytes:
    return POET.pack(verse(), PROVENANCE)


@dataclass
class Parts:
    """A bundle's parts, to be changed and put together again."""

    entries: dict[str, Any]  # the header without its metadata
    claim: Any
    tensors: bytearray
    metadata: Any = None  # instead of {"verse": claim}, if given
    outer: Any = None  # instead of the whole header, if given
    claim_text: str | None = None  # instead of the claim as JSON, if given
    header: bytes | None = None  # instead of the header as JSON, if given
    length: int | None = None  # instead of the header's true length, if given
    rest: bytes = b""  # after the tensors
    keep_digest: bool = field(default=False)  # leave tensors_sha256 as it is, though tensors changed

    @classmethod
    def of(cls, data: bytes) -> Parts:
        stop = 8 + int.from_bytes(data[:8], "little")
        entries = json.loads(data[8:stop])
        claim = json.loads(entries.pop("__metadata__")["verse"])
        return cls(entries, claim, bytearray(data[stop:]))

    @classmethod
    def fresh(cls) -> Parts:
        return copy.deepcopy(_parts())

    def weight(self, name: str, index: int, value: float) -> None:
        """Set one weight."""
        at = self.entries[name]["data_offsets"][0] + 2 * index
        self.tensors[at : at + 2] = np.array(value, "<f2").tobytes()

    def build(self) -> bytes:
        digest_is_ours = isinstance(self.claim, dict) and "tensors_sha256" in self.claim and not self.keep_digest
        if digest_is_ours:
            self.claim["tensors_sha256"] = hashlib.sha256(self.tensors).hexdigest()
        text = json.dumps(self.claim, ensure_ascii=False) if self.claim_text is None else self.claim_text
        metadata = {"verse": text} if self.metadata is None else self.metadata
        outer = {"__metadata__": metadata, **self.entries} if self.outer is None else self.outer
        header = json.dumps(outer).encode() if self.header is None else self.header
        length = len(header) if self.length is None else self.length
        return length.to_bytes(8, "little") + header + bytes(self.tensors) + self.rest


@cache
def _parts() -> Parts:
    return Parts.of(bundle())


def edit_claim(bundle: bytes, edit: Callable[[dict[str, Any]], object]) -> bytes:
    """A bundle whose claim was edited afterwards, its tensors and their digest left as they were."""
    parts = Parts.of(bundle)
    parts.keep_digest = True
    edit(parts.claim)
    return parts.build()
