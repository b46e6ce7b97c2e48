"""The file of a bundle: it is opened, and its header is read without the weights. This needs no NumPy."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from trainer.verse.claim import LENGTH_BYTES, Claim, header_length, parse_claim
from trainer.verse.errors import BundleError

MAX_BUNDLE_BYTES = 192 * 2**20  # the large preset in float16, 170 MB, and its header


def open_bundle(path: Path) -> BinaryIO:
    """Open a regular file; anything else (a folder, a pipe that never ends) is an `OSError`."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a bundle", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return path.open("rb")


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
    check_size(size)
    claim = parse_claim(start + file.read(header_length(start) - LENGTH_BYTES))
    check_complete(claim, size)
    return claim


def check_size(size: int) -> None:
    """Refuse a file that cannot be a bundle for its size.

    Raises:
        BundleError: It is empty or too large.
    """
    if size == 0:
        raise BundleError("empty", "the file is empty")
    if size > MAX_BUNDLE_BYTES:
        raise BundleError("too-large", f"the file has {size:,} bytes; a bundle has at most {MAX_BUNDLE_BYTES:,}")


def check_complete(claim: Claim, size: int) -> None:
    """Refuse a file that has more or fewer bytes than its claim says.

    Args:
        claim: Its header.
        size: Of the file, in bytes.

    Raises:
        BundleError: The size is another.
    """
    if size < claim.size:
        raise BundleError("truncated", f"the file is cut off: it has {size:,} of {claim.size:,} bytes")
    if size > claim.size:
        raise BundleError(
            "trailing-bytes", f"the file has {size - claim.size:,} bytes more than the {claim.size:,} of its claim"
        )
