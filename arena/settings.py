"""The settings of one event: a folder with settings that anybody may read, and secrets for its owner only.

settings.json     name, address and limits; edit it while no server runs
secrets.json      made by `arena init`, readable by its owner only (on Windows: as the folder is)
arena.sqlite3     the database, unless settings.json names another
bundles/          complete bundles, each named by its SHA-256
incoming/         bundles and request bodies that are still arriving; the next start removes what a crash left
clock.json        where the event's clock began to count: see `arena.clock`
lock              held by the process that serves the event
session-salt      random; logging out of the console replaces it
worker-alive      written every second by the verification process of `arena serve`: what is wrong with it, or nothing
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import URL

from arena.errors import ArenaError
from trainer.checks.limits import LIMITS
from trainer.verse import strictjson
from trainer.verse.characters import clean_line, encoding_of_mark
from trainer.verse.errors import LineError
from trainer.verse.event_path import event_path
from trainer.verse.files import temporary, write_atomically, write_new

SETTINGS_FILE = "settings.json"
SECRETS_FILE = "secrets.json"
DATABASE_FILE = "arena.sqlite3"
SECRET_FIELDS = ("console_password", "secret_key", "receipt_key")
PASSWORD_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # without l, o, 0 and 1, which look like another
PASSWORD_LENGTH = 16  # letters, 80 bits
CHECKS = frozenset(LIMITS)  # of `arena entry check`
HEX_32_BYTES = "[0-9a-f]{64}"
LANGUAGES = ("en", "de", "es")  # that the pages for guests are in
AUTO = "auto"  # each phone in the language of its browser


class SettingsError(ArenaError):
    """The event folder cannot be made or used."""

    code = "settings"


@dataclass(frozen=True)
class Settings:
    """What the processes of an event need to know before they open its database."""

    dir: Path  # the event folder, absolute
    database_url: str  # as SQLAlchemy writes it
    # secrets
    console_password: str  # for the organizer's login
    secret_key: str  # 32 bytes as hexadecimal digits; signs cookies and forms
    receipt_key: str  # 32 bytes as hexadecimal digits; the Ed25519 key that signs receipts
    # public
    name: str = "An evening of verses"  # the title of every page
    host: str = "127.0.0.1"  # the address that the server listens on
    port: int = 8000  # the port that the server listens on
    console_host: str = "127.0.0.1"  # the address that the console listens on
    console_port: int = 0  # the port that the console listens on; 0: the one after `port`
    public_url: str = ""  # the beginning of links and QR codes, without a slash at its end; "": http://host:port
    corpus: str = "folio"  # what models are trained on by default; a name that `trainer --corpus` knows
    corpus_sha256: str = "e283980c42f060a9ee4509ef63e65f3f423ebdd85f8b44b8a5d20f9a6f37e8b1"  # of the corpus file
    accent: str = ""  # the colour of buttons and links as #rrggbb; "": that of the pages
    logo: str = ""  # a PNG or SVG file in the event folder; "": none
    language: str = AUTO  # of pages for guests; "auto": that of each browser, and English on the stage
    refuse_checks: str = ""  # checks of `arena entry check`, with spaces: what they notice is disqualified
    reactions: int = 0  # 1: phones can send three signs that float over a result on the stage
    bundles_url: str = ""  # an object store that all hosts of the event share; "": the folder, and one host
    trusted_proxies: str = ""  # addresses or networks, with spaces, whose X-Forwarded-For names the client
    min_free_bytes: int = 2_000_000_000  # of disk, that no upload may use
    wheels: Path | None = None  # a folder of packages for guests, only while it is served; not in settings.json
    check_memory_bytes: int = 0  # that all checks may use together; 0: half of what is free when the server starts
    rehearsal: bool = False  # `arena rehearse` may use it up: no real event

    @property
    def base_url(self) -> str:
        """The beginning of links and QR codes, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def path(self) -> str:
        """What each address on this server begins with: /e/NAME where a proxy has several events, else ""."""
        return event_path(self.base_url)

    @property
    def has_many_hosts(self) -> bool:
        """Whether several hosts may serve the event: they share its database and its bundles."""
        return bool(self.bundles_url)

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the pages."""
        return is_local_url(self.base_url)

    @property
    def local_url(self) -> str:
        """The beginning of the event's addresses on this machine, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}{self.path}"

    @property
    def console_url(self) -> str:
        """The address of the organizer's page, on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(self.console_host, self.console_host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.console_port or self.port + 1}/console"

    @property
    def bundles(self) -> Path:
        """The folder of complete bundles."""
        return self.dir / "bundles"

    @property
    def incoming(self) -> Path:
        """The folder of bundles and request bodies that are still arriving."""
        return self.dir / "incoming"

    @property
    def session_salt(self) -> Path:
        """The file with the salt that the sessions of the console depend on."""
        return self.dir / "session-salt"

    @property
    def heartbeat(self) -> Path:
        """The file that the verification process writes again and again while it works."""
        return self.dir / "worker-alive"

    @property
    def clock(self) -> Path:
        """The file of the event's clock."""
        return self.dir / "clock.json"

    @property
    def lock(self) -> Path:
        """The file that the serving process locks."""
        return self.dir / "lock"


# The fields of settings.json with their types and bounds: characters of a text, or the value of a number.
# A null database_url stands for the SQLite file in the folder.
PUBLIC_FIELDS: dict[str, tuple[type, int, int]] = {
    "database_url": (str, 1, 1_000),
    "name": (str, 1, 80),
    "host": (str, 1, 1_000),
    "port": (int, 0, 65_535),
    "console_host": (str, 1, 1_000),
    "console_port": (int, 0, 65_535),
    "public_url": (str, 0, 1_000),
    "corpus": (str, 0, 1_000),
    "corpus_sha256": (str, 0, 1_000),
    "accent": (str, 0, 7),
    "logo": (str, 0, 100),
    "language": (str, 1, 4),
    "refuse_checks": (str, 0, 200),
    "reactions": (int, 0, 1),
    "bundles_url": (str, 0, 1_000),
    "trusted_proxies": (str, 0, 1_000),
    "min_free_bytes": (int, 0, 2**53),
    "check_memory_bytes": (int, 0, 2**53),
    "rehearsal": (bool, 0, 1),
}


def create_event_folder(
    folder: Path,
    name: str = Settings.name,
    *,
    is_unfinished: bool = False,
    secrets_of: Path | None = None,
    **options: Any,
) -> Settings:
    """Make the folder of a new event, with new secrets, or of an event that another host serves, with its secrets.

    Args:
        folder: a new or empty folder.
        name: what every page calls the event.
        is_unfinished: whether the folder may hold what an interrupted `arena init` left. Its secrets are kept.
        secrets_of: the secrets.json of the other host; None: new secrets.
        options: further fields that settings.json may hold.

    Returns:
        The settings, as `load_settings` reads them.

    Raises:
        SettingsError: The folder holds an event already, or an option is unknown or out of bounds.
        OSError: The folder cannot be written.
    """
    folder = Path(folder).absolute()
    if (folder / SETTINGS_FILE).exists() and not is_unfinished:
        raise SettingsError(f"{folder} holds an event already: choose another folder with --dir")
    has_secrets = (folder / SECRETS_FILE).exists()
    if has_secrets and not is_unfinished:
        raise SettingsError(
            f"{folder} holds an event without its {SETTINGS_FILE}: put that back, or choose another folder"
        )
    public = {"database_url": None, "name": name, **options}
    private = (
        _read(folder / SECRETS_FILE)
        if has_secrets
        else _read(secrets_of)
        if secrets_of
        else {
            "console_password": _new_password(),
            "secret_key": secrets.token_hex(32),
            "receipt_key": secrets.token_hex(32),
        }
    )
    settings = _build(folder, public, private)
    if settings.bundles_url and public["database_url"] is None:
        raise SettingsError(
            "bundles in an object store are for an event in PostgreSQL: name its database with --database-url, too"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for inner in (settings.bundles, settings.incoming):  # private, whatever the folder around them is
        inner.mkdir(mode=0o700, exist_ok=True)
    if public["database_url"] is None:
        (folder / DATABASE_FILE).touch(mode=0o600)  # SQLite's further files get the same mode
    written = {field: getattr(settings, field) for field in PUBLIC_FIELDS} | {"database_url": public["database_url"]}
    if not write_new(folder / SECRETS_FILE, _pretty(private)) and not has_secrets:
        raise SettingsError(f"{folder} holds an event already: another `arena init` has just made it")
    write_atomically(folder / SETTINGS_FILE, _pretty(written))  # with this file, the folder is an event
    return settings


def load_settings(folder: Path) -> Settings:
    """Read the settings of the event in a folder.

    Raises:
        SettingsError: The folder holds no event, or a file is missing, damaged or readable by others.
    """
    folder = Path(folder).absolute()
    if not (folder / SETTINGS_FILE).is_file():
        raise SettingsError(
            f"{folder} holds no event: make one with `arena init {folder}`, or name its folder with --dir"
        )
    public = _read(folder / SETTINGS_FILE)
    path = folder / SECRETS_FILE
    if not path.is_file():
        raise SettingsError(f"{path} is missing: put it back from a backup; receipts and cookies depend on it")
    if is_open_to_others(path) and keeps_permissions(folder):
        raise SettingsError(f"{path} can be read by other users: run `chmod 600 {path}`")
    return _build(folder, public, _read(path))


def replace_console_password(folder: Path) -> str:
    """Replace the console's password in secrets.json, which ends every session, and return the new one.

    Raises:
        SettingsError: The folder holds no event, or a file is missing or damaged.
        OSError: The file cannot be written.
    """
    settings = load_settings(folder)
    path = settings.dir / SECRETS_FILE
    password = _new_password()
    write_atomically(path, _pretty(_read(path) | {"console_password": password}), mode=0o600)
    return password


def read_console_password(folder: Path) -> str:
    """Return the console's password as it is now.

    Raises:
        SettingsError: secrets.json is missing or damaged.
    """
    path = folder / SECRETS_FILE
    private = _read(path)
    _check_private(path, private)
    return str(private["console_password"])


def read_receipt_key(path: Path) -> str:
    """Return the private key of a secrets.json that signs receipts.

    Raises:
        SettingsError: The file is missing or damaged.
    """
    private = _read(path)
    _check_private(path, private)
    return str(private["receipt_key"])


def _new_password() -> str:
    return "".join(secrets.choice(PASSWORD_LETTERS) for _ in range(PASSWORD_LENGTH))


def is_open_to_others(path: Path) -> bool:
    """Whether the permissions of a file or a folder let other users read it."""
    return os.name == "posix" and bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def keeps_permissions(folder: Path) -> bool:
    """Whether the disk of a folder keeps who may read a file; those of Windows (/mnt/c in WSL) and exFAT do not.

    Raises:
        OSError: The folder cannot be written.
    """
    probe = temporary(folder / "permissions")
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        return not is_open_to_others(probe)
    finally:
        probe.unlink(missing_ok=True)


def privacy_warning(settings: Settings) -> str | None:
    """Return what it means that other users of this computer can read files of an event; None if they cannot."""
    paths = [settings.dir / SECRETS_FILE, settings.dir / DATABASE_FILE]
    if re.search("://[^/@]*:[^/@]+@", settings.database_url):  # with a password
        paths.append(settings.dir / SETTINGS_FILE)
    exposed = [path for path in paths if path.exists() and is_open_to_others(path)]
    if not exposed or not is_open_to_others(settings.dir):
        return None
    advice = f"run `chmod 600 {exposed[0]}`"
    if not keeps_permissions(settings.dir):
        advice = "its disk keeps no permissions; if others use this computer, move the folder to another disk"
    return (
        f"warning: other users of this computer can read {exposed[0].name} in {settings.dir}, and with it secrets "
        f"or who wrote which verse: {advice}"
    )


def settings_with(path: Path, **changed: Any) -> bytes:
    """Return the contents of a settings.json with other values.

    Raises:
        SettingsError: It cannot be read.
    """
    return _pretty(_read(path) | changed)


def sqlite_url(path: Path) -> str:
    """Return the URL of a database file, whatever characters its path has."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def is_local_url(url: str) -> bool:
    """Whether only this machine reaches an address."""
    return any(name in url for name in ("//127.", "//localhost", "//[::1]"))


def check_public_url(url: str) -> None:
    """Check that an address is empty, or that links can begin with it.

    Raises:
        SettingsError: It is neither.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and not set(url) & set("?#")
        valid = valid and url.isprintable() and not set(url) & set(" \"'<>\\")
        _ = parts.port  # raises ValueError when it is no number
    except ValueError:
        valid = False
    if url and (not valid or parts.path.rstrip("/") != event_path(url)):
        raise SettingsError(
            "the outside address must look like https://verses.example.org, or https://verses.example.org/e/spring "
            "where several events share a server, with at most 40 letters from a to z, digits and hyphens after /e/, "
            f"not {url!r}"
        )


def with_event_path(url: str, path: str) -> str:
    """Return the beginning of links of an event, for an address with its path or without one.

    Args:
        url: what `check_public_url` let pass, with or without a slash at its end.
        path: of the event; "": it has none.

    Raises:
        SettingsError: The address has the path of another event.
    """
    if event_path(url) not in ("", path):
        raise SettingsError(
            f"the addresses of this event end with {path}" if path else "the addresses of this event have no path"
        )
    return url.rstrip("/").removesuffix(path) + path


def _build(folder: Path, public: Mapping[str, Any], private: Mapping[str, Any]) -> Settings:
    """Check the contents of both files and join them.

    Raises:
        SettingsError: As in `load_settings`.
    """
    _check_public(folder / SETTINGS_FILE, public)
    _check_private(folder / SECRETS_FILE, private)
    values = dict(public)
    if values.get("database_url") is None:
        values["database_url"] = sqlite_url(folder / DATABASE_FILE)
    values["name"] = clean_line(values.get("name", Settings.name), PUBLIC_FIELDS["name"][2])
    values["accent"] = values.get("accent", "").lower()
    values["public_url"] = values.get("public_url", "").rstrip("/")
    return Settings(dir=folder, **values, **private)


def _check_public(path: Path, values: Mapping[str, Any]) -> None:
    _check_names(path, values, PUBLIC_FIELDS)
    for name, (kind, low, high) in PUBLIC_FIELDS.items():
        value = values.get(name)
        if name not in values or (name == "database_url" and value is None):
            continue
        if name == "name":
            valid, wanted = _is_line(value, high), f"one line of {low} to {high:,} characters that can be seen"
        elif kind is str:
            valid = isinstance(value, str) and low <= len(value.strip()) and len(value) <= high and value.isprintable()
            wanted = f"one line of {low} to {high:,} characters"
        elif kind is bool:
            valid, wanted = isinstance(value, bool), "true or false"
        else:
            valid = type(value) is int and low <= value <= high
            wanted = f"a whole number from {low} to {high:,}"
        if not valid:
            raise SettingsError(f"{path}: {name} must be {wanted}, not {value!r}")
    if not re.fullmatch(HEX_32_BYTES, values.get("corpus_sha256", Settings.corpus_sha256)):
        raise SettingsError(f"{path}: corpus_sha256 must be 64 hexadecimal digits")
    if unknown := set(values.get("refuse_checks", "").split()) - CHECKS:
        raise SettingsError(
            f"{path}: refuse_checks must name checks, with spaces between them: {', '.join(sorted(CHECKS))}; "
            f"there is none {sorted(unknown)[0]!r}"
        )
    if values.get("bundles_url") and values.get("reactions"):
        raise SettingsError(f"{path}: reactions must be 0, since each host would count only those that it was sent")
    try:
        parse_networks(values.get("trusted_proxies", ""))
    except ValueError as error:
        raise SettingsError(
            f"{path}: trusted_proxies must name addresses or networks, as 127.0.0.1 10.0.0.0/8: {error}"
        ) from None
    check_public_url(values.get("public_url", ""))
    if not re.fullmatch("(#[0-9a-f]{6})?", values.get("accent", "").lower()):
        raise SettingsError(f'{path}: accent must be a colour such as "#005f73", or empty')
    if values.get("language", AUTO) not in (AUTO, *LANGUAGES):
        raise SettingsError(f"{path}: language must be {AUTO} or one of {', '.join(LANGUAGES)}")
    if not re.fullmatch(r"(\w[\w.-]*)?", values.get("logo", "")):
        raise SettingsError(f"{path}: logo must be the name of a file in this folder, such as logo.svg")


def parse_networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Return the networks that a text names, with spaces between them.

    Raises:
        ValueError: One of them is none.
    """
    return tuple(ipaddress.ip_network(word) for word in text.split())


def _is_line(value: object, limit: int) -> bool:
    try:
        return isinstance(value, str) and bool(clean_line(value, limit))
    except LineError:
        return False


def _check_private(path: Path, values: Mapping[str, Any]) -> None:
    _check_names(path, values, SECRET_FIELDS)
    for name in SECRET_FIELDS:
        value = values.get(name)
        if not isinstance(value, str) or len(value) < PASSWORD_LENGTH:
            raise SettingsError(f"{path}: {name} is missing or too short; put the file back from a backup")
        if name.endswith("_key") and not re.fullmatch(HEX_32_BYTES, value):
            raise SettingsError(f"{path}: {name} is not 64 hexadecimal digits; put the file back from a backup")


def _check_names(path: Path, values: Iterable[str], known: Iterable[str]) -> None:
    if unknown := sorted(set(values) - set(known)):
        raise SettingsError(f"{path}: there is no setting {unknown[0]!r}; the settings are {', '.join(known)}")


def _read(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
        value = strictjson.parse(data.decode(encoding_of_mark(data) or "utf-8").encode())  # editors write such marks
    except (ValueError, OSError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise SettingsError(f"{path} must hold one JSON object")
    return value


def _pretty(value: Mapping[str, Any]) -> bytes:
    lines = [f"  {strictjson.dump(k).decode()}: {strictjson.dump(v).decode()}" for k, v in value.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()
