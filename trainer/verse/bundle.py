"""Bundles: one safetensors file that holds everything needed to write a verse again; its header is the claim.

SPEC.md gives the format in bytes. Reading makes the cheapest checks first, each with its own error, and never executes
or unpickles anything.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from trainer.verse import strictjson
from trainer.verse.claim import FORMAT, LENGTH_BYTES, METADATA_KEY, Claim, header_length, parse_claim, refuse_as
from trainer.verse.config import ModelConfig
from trainer.verse.errors import BundleError
from trainer.verse.generate import Written
from trainer.verse.model import check_weights
from trainer.verse.text import verse_text
from trainer.verse.vocabulary import Vocabulary

MAX_BUNDLE_BYTES = 192 * 2**20  # the large preset in float16, 170 MB, and its header


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


def read_claim(path: Path) -> Claim:
    """Read and check the header alone, and the size of the file.

    Raises:
        BundleError: The file breaks the format.
        OSError: It cannot be read, or is not a regular file.
    """
    with open_bundle(path) as file:
        return read_claim_from(file)


def read_claim_from(file: BinaryIO) -> Claim:
    """Read and check the header at the start of an open file, and the file's size.

    Raises:
        BundleError: The file breaks the format.
        OSError: It cannot be read.
    """
    start = file.read(LENGTH_BYTES)  # before the size: a file that cannot be read is not an empty one
    size = os.fstat(file.fileno()).st_size
    _check_size(size)
    claim = parse_claim(start + file.read(header_length(start) - LENGTH_BYTES))
    _check_complete(claim, size)
    return claim


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
    _check_size(len(data))
    claim = parse_claim(data[: header_length(data[:LENGTH_BYTES])])
    _check_complete(claim, len(data))
    return _with_weights(claim, memoryview(data)[claim.header_bytes :])


def open_bundle(path: Path) -> BinaryIO:
    """Open a regular file; anything else (a folder, a pipe that never ends) is an `OSError`."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a bundle", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return path.open("rb")


def _with_weights(claim: Claim, data: bytes | memoryview) -> Bundle:
    """Check the bytes after the header."""
    _check_complete(claim, claim.header_bytes + len(data))
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


def _check_size(size: int) -> None:
    if size == 0:
        raise BundleError("empty", "the file is empty")
    if size > MAX_BUNDLE_BYTES:
        raise BundleError("too-large", f"the file has {size:,} bytes; a bundle has at most {MAX_BUNDLE_BYTES:,}")


def _check_complete(claim: Claim, size: int) -> None:
    if size < claim.size:
        raise BundleError("truncated", f"the file is cut off: it has {size:,} of {claim.size:,} bytes")
    if size > claim.size:
        raise BundleError(
            "trailing-bytes", f"the file has {size - claim.size:,} bytes more than the {claim.size:,} of its claim"
        )
