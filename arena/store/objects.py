"""Bundles in an object store that several hosts share: S3, Google Cloud Storage, Azure, or a mounted folder.

obstore is one package without dependencies; it reads keys and endpoints from the environment, as AWS_ACCESS_KEY_ID.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from arena.errors import BundlesUnreachable
from arena.settings import SettingsError
from trainer.verse.text import sanitize

CONNECT_SECONDS, ANSWER_SECONDS = 5, 60  # that the store may take
RETRIES, RETRY_SECONDS = 2, 10  # by the library; after these, the caller tries again
SCHEMES = ("s3", "gs", "az", "file")
MAX_REASON = 200  # characters of the library's message
OWNER = "event"  # the object that says whose bundles these are


@dataclass(frozen=True)
class StoredObject:
    """One object."""

    name: str
    size: int  # bytes
    changed_at: float  # seconds since the epoch


class ObjectStore:
    """A folder of an object store. Every failure but a missing object is a `BundlesUnreachable`."""

    def __init__(self, url: str) -> None:
        """Make a client; nothing is sent yet.

        Args:
            url: of the folder, such as s3://bucket/folder.

        Raises:
            SettingsError: It is not such an address, or obstore is not installed.
        """
        self.url = url
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES or (parts.scheme != "file" and not parts.netloc):
            raise SettingsError(f"`bundles_url` in settings.json must look like s3://bucket/folder, not {url!r}")
        try:
            from obstore.store import from_url
        except ImportError:
            raise SettingsError(
                "bundles in an object store need obstore: in a clone of the project, pip install '.[cluster]'"
            ) from None
        options: dict[str, Any] = {}
        if parts.scheme == "file":
            Path(parts.path).mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            seconds = {"connect_timeout": f"{CONNECT_SECONDS}s", "timeout": f"{ANSWER_SECONDS}s", "allow_http": True}
            retries = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)}
            options = {"client_options": seconds, "retry_config": retries}
        with self._explained():
            self._store = from_url(url, **options)

    def owner(self) -> str:
        """Return what names the event whose bundles these are; "" if no event has used the folder.

        Raises:
            BundlesUnreachable: It does not answer, or refuses.
        """
        import obstore

        with self._explained():
            try:
                return bytes(obstore.get(self._store, OWNER).bytes())[:MAX_REASON].decode("utf-8", "replace")
            except (obstore.exceptions.NotFoundError, FileNotFoundError):
                return ""

    def claim(self, owner: str) -> None:
        """Write down whose bundles these are.

        Raises:
            BundlesUnreachable: It does not answer, or refuses.
        """
        import obstore

        with self._explained():
            obstore.put(self._store, OWNER, owner.encode())

    def size(self, name: str) -> int | None:
        """Return the bytes of an object; None if there is none."""
        import obstore

        with self._explained():
            try:
                return int(obstore.head(self._store, name)["size"])
            except (obstore.exceptions.NotFoundError, FileNotFoundError):
                return None

    def upload(self, source: Path, name: str) -> None:
        """Store a file under a name."""
        import obstore

        with self._explained(), source.open("rb") as file:
            obstore.put(self._store, name, file)

    def download(self, name: str, target: Path) -> bool:
        """Write an object into a new file, and return whether there is such an object."""
        import obstore

        with self._explained():
            try:
                chunks = obstore.get(self._store, name).stream()
            except (obstore.exceptions.NotFoundError, FileNotFoundError):
                return False
            with target.open("xb") as file:
                for chunk in chunks:
                    file.write(bytes(chunk))
        return True

    def remove(self, name: str) -> None:
        """Remove an object, if there is one."""
        import obstore

        with self._explained():
            try:
                obstore.delete(self._store, name)
            except (obstore.exceptions.NotFoundError, FileNotFoundError):
                return

    def objects(self) -> list[StoredObject]:
        """Return every object."""
        import obstore

        with self._explained():
            return [
                StoredObject(one["path"], one["size"], one["last_modified"].timestamp())
                for page in obstore.list(self._store)
                for one in page
            ]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except BaseError as error:
            reason = sanitize(str(error).strip().partition("\n")[0], MAX_REASON)
            raise BundlesUnreachable(self.url, reason) from None
