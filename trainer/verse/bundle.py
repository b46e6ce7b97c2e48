"""Bundles: one safetensors file that holds everything needed to write a verse again; its header is the claim.

SPEC.md gives the format in bytes. Reading makes the cheapest checks first, each with its own error, and never executes
or unpickles anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from trainer.verse import strictjson
from trainer.verse.bundle_file import check_complete, check_size, open_bundle, read_claim_from
from trainer.verse.claim import FORMAT, LENGTH_BYTES, METADATA_KEY, Claim, header_length, parse_claim, refuse_as
from trainer.verse.config import ModelConfig
from trainer.verse.errors import BundleError
from trainer.verse.generate import Written
from trainer.verse.model import check_weights
from trainer.verse.text import verse_text
from trainer.verse.vocabulary import Vocabulary


@dataclass(frozen=True)
class Bundle:
    """A claim and its weights."""

    claim: Claim
    weights: dict[str, NDArray[np.float16]]


def pack(
    config: ModelConfig,
    vocabulary: Vocabulary,
    weights: Mapping[str, NDArray[np.float16]],
    written: Written,
    provenance: Mapping[str, Any],
) -> bytes:
    """Return a bundle as bytes; equal content gives equal bytes.

    Args:
        config: The model's shape.
        vocabulary: What its tokens spell.
        weights: float16 tensors by name, as `round_weights` returns them; they wrote the verse.
        written: What `regenerate` returned.
        provenance: How the model was trained, plain data.

    Raises:
        WeightsError: The weights are not those of such a model.
        NotText: The verse is not text.
        BundleError: The content would break the format, for example a header beyond 1 MiB.
    """
    check_weights(config, weights)
    tensors = {name: np.ascontiguousarray(weights[name]) for name in sorted(weights)}
    digest = hashlib.sha256()
    for tensor in tensors.values():
        digest.update(tensor.astype("<f2", copy=False).tobytes())
    claim = {
        "format": FORMAT,
        "config": config.to_dict(),
        "tokenizer": vocabulary.to_dict(),
        "recipe": written.recipe.to_dict(),
        "verse": {"ids": list(written.ids), "text": verse_text(vocabulary, written.recipe, written.ids)},
        "certificate": written.certificate.to_dict(),
        "provenance": dict(provenance),
        "tensors_sha256": digest.hexdigest(),
    }
    try:
        text = strictjson.dump(claim).decode()
    except (ValueError, TypeError) as error:  # only the provenance can hold what JSON cannot
        raise BundleError("provenance", f"provenance cannot be stored as JSON: {error}") from None
    data = save(tensors, metadata={METADATA_KEY: text})
    parse_bundle(data)  # what is written can be read
    return data


def read_bundle(path: Path) -> Bundle:
    """Read and check everything.

    Raises:
        BundleError: The file breaks the format.
        OSError: It cannot be read, or is not a regular file.
    """
    with open_bundle(path) as file:
        claim = read_claim_from(file)
        return _with_weights(claim, file.read(claim.size - claim.header_bytes + 1))


def parse_bundle(data: bytes) -> Bundle:
    """Check a bundle in memory.

    Raises:
        BundleError: The bytes break the format.
    """
    check_size(len(data))
    claim = parse_claim(data[: header_length(data[:LENGTH_BYTES])])
    check_complete(claim, len(data))
    return _with_weights(claim, memoryview(data)[claim.header_bytes :])


def _with_weights(claim: Claim, data: bytes | memoryview) -> Bundle:
    """Check the bytes after the header."""
    check_complete(claim, claim.header_bytes + len(data))
    digest = hashlib.sha256(data).hexdigest()
    if digest != claim.tensors_sha256:
        raise BundleError(
            "digest", f"the weights were changed: their SHA-256 is {digest[:16]}…, not {claim.tensors_sha256[:16]}…"
        )
    weights, offset = {}, 0
    shapes = claim.config.tensor_shapes()
    for name in sorted(shapes):
        count = int(np.prod(shapes[name]))
        weights[name] = np.frombuffer(data, "<f2", count, offset).reshape(shapes[name])
        offset += 2 * count
    refuse_as("weights", lambda tensors: check_weights(claim.config, tensors), weights)
    return Bundle(claim, weights)
