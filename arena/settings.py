"""What one event is set to: a folder with settings anybody may read, and secrets only their owner may.

settings.json     the name, the address and the limits; edit it while the event is not being served
secrets.json      made by `arena init`, readable by its owner only (on Windows: as the folder is)
arena.sqlite3     the database, unless settings.json names another
bundles/          finished bundles, each named by its SHA-256
incoming/         bundles and bodies on their way; what is left here by a crash is removed at the next start
lock              held by the process that serves the event
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from arena.errors import ArenaError
from trainer.verse import strictjson
from trainer.verse.files import write_atomically

MIB = 2**20
SETTINGS_FILE = "settings.json"
SECRETS_FILE = "secrets.json"
SECRET_FIELDS = ("console_password", "secret_key", "receipt_key")
PASSWORD_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # without l, o, 0 and 1, which look like another
PASSWORD_LENGTH = 16  # letters, 80 bits


class SettingsError(ArenaError):
    """An event folder that cannot be made or used."""

    code = "settings"


@dataclass(frozen=True)
class Settings:
    """Everything an event's processes need to know before they open its database."""

    # where it is
    dir: Path  # the event folder, absolute
    database_url: str  # SQLAlchemy's form
    # secrets
    console_password: str  # for the organizer's login
    secret_key: str  # hex of 32 bytes; signs cookies and forms
    receipt_key: str  # hex of 32 bytes; Ed25519, signs receipts
    # who and where
    name: str = "An evening of verses"
    host: str = "127.0.0.1"  # the address listened on
    port: int = 8000
    public_url: str = ""  # what links and QR codes begin with, without a slash at its end; "": http://host:port
    # what models are trained on by default
    corpus: str = "folio"  # a name that `trainer --corpus` knows
    corpus_sha256: str = "e283980c42f060a9ee4509ef63e65f3f423ebdd85f8b44b8a5d20f9a6f37e8b1"  # of its file
    # this machine
    min_free_bytes: int = 2_000_000_000  # of disk, below which no claim is taken

    @property
    def base_url(self) -> str:
        """What links and QR codes begin with, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def console_url(self) -> str:
        """Where the organizer's page is; it answers on this machine only."""
        return f"http://127.0.0.1:{self.port}/console"

    @property
    def bundles(self) -> Path:
        return self.dir / "bundles"

    @property
    def incoming(self) -> Path:
        return self.dir / "incoming"

    @property
    def lock(self) -> Path:
        return self.dir / "lock"


# What settings.json may say. `dir` is where the file lies, and a null database_url is the folder's own SQLite file.
PUBLIC_FIELDS = tuple(field.name for field in fields(Settings) if field.name not in ("dir", *SECRET_FIELDS))


def create_event_folder(dir: Path, name: str = Settings.name, **options: Any) -> Settings:
    """Make the folder of a new event, with secrets of its own.

    Args:
        dir: new, or an empty folder.
        name: what the event is called on every page.
        options: further fields of `Settings` that settings.json may hold.

    Raises:
        SettingsError: there is an event already, or an option is unknown or out of bounds.
        OSError: the folder cannot be written.
    """
    dir = Path(dir).absolute()
    if (dir / SETTINGS_FILE).exists():
        raise SettingsError(f"{dir} holds an event already: choose another folder with --dir")
    if (dir / SECRETS_FILE).exists():
        raise SettingsError(
            f"{dir} holds an event without its {SETTINGS_FILE}: put that back, or choose another folder"
        )
    public = {"database_url": None, "name": name, **options}
    keys = {
        "console_password": "".join(secrets.choice(PASSWORD_LETTERS) for _ in range(PASSWORD_LENGTH)),
        "secret_key": secrets.token_hex(32),
        "receipt_key": secrets.token_hex(32),
    }
    settings = _settings(dir, public, keys)
    dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.bundles.mkdir(exist_ok=True)
    settings.incoming.mkdir(exist_ok=True)
    shown = {field: getattr(settings, field) for field in PUBLIC_FIELDS} | {"database_url": public["database_url"]}
    _write_private(dir / SECRETS_FILE, keys)
    write_atomically(dir / SETTINGS_FILE, _pretty(shown))  # last: with it, the folder is an event
    return settings


def load_settings(dir: Path) -> Settings:
    """Read an event folder.

    Raises:
        SettingsError: there is no event, or its settings or secrets are missing, damaged or readable by others.
    """
    dir = Path(dir).absolute()
    if not (dir / SETTINGS_FILE).is_file():
        raise SettingsError(f"{dir} holds no event: make one with `arena init {dir}`, or name its folder with --dir")
    public = _read(dir / SETTINGS_FILE)
    path = dir / SECRETS_FILE
    if not path.is_file():
        raise SettingsError(f"{path} is missing: put it back from a backup; receipts and cookies depend on it")
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsError(f"{path} can be read by other users: run `chmod 600 {path}`")
    return _settings(dir, public, _read(path))


def _settings(dir: Path, public: Mapping[str, Any], keys: Mapping[str, Any]) -> Settings:
    """Put the two files together, checked.

    Raises:
        SettingsError: see `load_settings`.
    """
    for file, given, known in ((SETTINGS_FILE, public, PUBLIC_FIELDS), (SECRETS_FILE, keys, SECRET_FIELDS)):
        if unknown := sorted(set(given) - set(known)):
            raise SettingsError(f"{dir / file}: there is no setting {unknown[0]!r}; known are {', '.join(known)}")
    for name in SECRET_FIELDS:
        value = keys.get(name)
        if not isinstance(value, str) or len(value) < PASSWORD_LENGTH:
            raise SettingsError(
                f"{dir / SECRETS_FILE}: {name} is missing or too short; put the file back from a backup"
            )
    for name in ("secret_key", "receipt_key"):
        if not _is_hex(keys[name]):
            raise SettingsError(f"{dir / SECRETS_FILE}: {name} is not 64 hexadecimal digits; put the file back")
    values = dict(public)
    if values.get("database_url") is None:
        values["database_url"] = "sqlite:///" + (dir / "arena.sqlite3").as_posix()
    _check(dir / SETTINGS_FILE, values)
    values["public_url"] = str(values.get("public_url", "")).rstrip("/")
    return Settings(dir=dir, **values, **keys)


def _check(path: Path, values: Mapping[str, Any]) -> None:
    for field in fields(Settings):
        if field.name not in values:
            continue
        value = values[field.name]
        default = field.default if field.default is not MISSING else ""
        if isinstance(default, str):
            right = isinstance(value, str) and len(value) <= 1_000 and value.isprintable()
            wanted = "text of one line"
        else:
            right = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**53
            wanted = "a whole number, not negative"
        if not right:
            raise SettingsError(f"{path}: {field.name} must be {wanted}, not {value!r}")
    if not values.get("name", Settings.name).strip() or len(values.get("name", "")) > 80:
        raise SettingsError(f"{path}: name must have 1 to 80 characters")
    if values.get("port", 1) > 65_535:
        raise SettingsError(f"{path}: port must be at most 65,535")
    if not _is_hex(values.get("corpus_sha256", Settings.corpus_sha256)):
        raise SettingsError(f"{path}: corpus_sha256 must be 64 hexadecimal digits")
    check_public_url(values.get("public_url", ""))


def check_public_url(url: str) -> None:
    """An empty address, or one that links can begin with.

    Raises:
        SettingsError: it is neither.
    """
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
        _ = parts.port  # raises when it is none
    except ValueError:
        right = False
    if url and (not right or parts.path.strip("/")):
        raise SettingsError(f"the outside address must look like https://verses.example.org, not {url!r}")


def _is_hex(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _read(path: Path) -> dict[str, Any]:
    try:
        value = strictjson.parse(path.read_bytes())
    except (ValueError, OSError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise SettingsError(f"{path} must hold one JSON object")
    return value


def _pretty(value: Mapping[str, Any]) -> bytes:
    lines = [f"  {strictjson.dump(k).decode()}: {strictjson.dump(v).decode()}" for k, v in value.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _write_private(path: Path, value: Mapping[str, Any]) -> None:
    """Write a file that is readable by its owner only from the moment it exists.

    Raises:
        OSError: it exists already, or cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_pretty(value))
        file.flush()
        os.fsync(file.fileno())
