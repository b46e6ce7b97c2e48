"""What is the same for everybody, in memory: static files, with digests in their addresses, and kept pages."""

from __future__ import annotations

import functools
import gzip
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arena.web.modules import JOINED, STATIC, join_modules

if TYPE_CHECKING:
    from flask import Request, Response

STATIC_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}


@dataclass(frozen=True)
class Asset:
    """A static file, or a page that has nothing of one browser: no form, no cookie."""

    data: bytes
    compressed: bytes  # by gzip
    mimetype: str
    digest: str  # part of a static file's address

    @classmethod
    def of(cls, data: bytes, mimetype: str) -> Asset:
        """Compress some bytes."""
        return cls(data, compress(data), mimetype, hashlib.sha256(data).hexdigest()[:10])

    def response(self, request: Request) -> Response:
        """Return the response in the form that the browser takes."""
        from flask import current_app  # the main process of a server looks at the theme, and has no Flask

        compressed = request.accept_encodings.quality("gzip") > 0
        response = current_app.response_class(self.compressed if compressed else self.data, mimetype=self.mimetype)
        if compressed:
            response.headers["Content-Encoding"] = "gzip"
        response.vary.add("Accept-Encoding")
        return response


@functools.cache  # pages and console have the same
def read_assets() -> dict[str, Asset]:
    """Read all static files, by name, and join the scripts that are made of modules."""
    files = (path for path in sorted(STATIC.iterdir()) if path.suffix in STATIC_TYPES)
    assets = {path.name: Asset.of(path.read_bytes(), STATIC_TYPES[path.suffix]) for path in files}
    joined = {name: Asset.of(join_modules(first).encode(), STATIC_TYPES[".js"]) for name, first in JOINED.items()}
    return assets | joined


def compress(data: bytes) -> bytes:
    """Compress by gzip; equal data give equal bytes."""
    return gzip.compress(data, compresslevel=6, mtime=0)
