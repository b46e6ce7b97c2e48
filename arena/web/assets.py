"""Static files in memory. Each has its digest in its address, so that browsers may cache it forever."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

STATIC = Path(__file__).parent / "static"
STATIC_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}


@dataclass(frozen=True)
class Asset:
    """A static file."""

    data: bytes
    compressed: bytes  # by gzip
    mimetype: str
    digest: str  # part of its address

    @classmethod
    def read(cls, path: Path) -> Asset:
        """Read a file of a known type."""
        data = path.read_bytes()
        return cls(data, compress(data), STATIC_TYPES[path.suffix], hashlib.sha256(data).hexdigest()[:10])


def read_assets() -> dict[str, Asset]:
    """Read all static files, by name."""
    return {path.name: Asset.read(path) for path in sorted(STATIC.iterdir()) if path.suffix in STATIC_TYPES}


def compress(data: bytes) -> bytes:
    """Compress by gzip; equal data give equal bytes."""
    return gzip.compress(data, compresslevel=6, mtime=0)
