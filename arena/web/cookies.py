"""The two cookies, as they are signed and read: the voter's secret, and the organizer's session."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass, field

from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer
from werkzeug.http import parse_cookie

from arena.settings import SECRETS_FILE, Settings, SettingsError, read_console_password
from trainer.verse.files import write_atomically

VOTER_COOKIE = "t"
STAGE_COOKIE = "stage"
CONSOLE_SECONDS = 12 * 3_600  # a login lasts an evening
_SIGNER = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}


def serializer(settings: Settings, purpose: str) -> URLSafeSerializer:
    """Return what signs values for one purpose."""
    return URLSafeSerializer(settings.secret_key, salt=f"verse-{purpose}-1", signer_kwargs=_SIGNER)


def console_cookie(settings: Settings) -> str:
    """Return the name of the console's cookie, each event's own: browsers do not tell the ports of a computer apart."""
    return (
        "console-" + hmac.new(settings.secret_key.encode(), b"verse-console-cookie-1", hashlib.sha256).hexdigest()[:8]
    )


def stage_key(settings: Settings) -> str:
    """Return what the address of the stage holds, so that it shows the room's PIN."""
    return hmac.new(settings.secret_key.encode(), b"verse-stage-1", hashlib.sha256).hexdigest()[:20]


def stage_address(settings: Settings, admission: str, base: str) -> str:
    """Return the address of the stage on the projector, with its key where the event wants the room's PIN.

    Args:
        settings: the event's.
        admission: who may vote.
        base: the beginning of addresses, without a slash at its end.
    """
    return f"{base}/stage" + (f"?key={stage_key(settings)}" if admission == "pin" else "")


def read_voter(settings: Settings, header: str) -> str | None:
    """Return the voter's secret from the header Cookie, if it is genuine."""
    try:
        value = serializer(settings, "voter").loads(parse_cookie(header).get(VOTER_COOKIE, ""))
    except (BadData, UnicodeDecodeError):  # the header may hold any bytes
        return None
    return value if isinstance(value, str) else None


@dataclass(frozen=True)
class ConsoleSession:
    """What the console's cookie holds."""

    id: str
    inside: bool  # the password was entered


@dataclass
class ConsoleSessions:
    """Signs and reads the console's cookie.

    The key depends on the password, so that a new one ends every session, and on a random salt in the event folder,
    which the logout replaces: no cookie from before opens the console again, also after a restart.
    """

    settings: Settings
    _salt: str = ""
    _password: tuple[int, str] = (0, "")  # with the time of the file that it was read from
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        path = self.settings.session_salt
        if path.is_file():
            self._salt = path.read_text("ascii", "replace")
        else:  # also in a folder that was put back from a backup: no earlier cookie may open it
            self.end_all()

    def start(self, inside: bool) -> ConsoleSession:
        """Begin a session, which no earlier cookie belongs to."""
        return ConsoleSession(secrets.token_urlsafe(16), inside)

    def end_all(self) -> None:
        """End every session of every browser, for good."""
        with self._lock:
            salt = secrets.token_hex(16)
            write_atomically(self.settings.session_salt, salt.encode())
            self._salt = salt

    def dump(self, session: ConsoleSession) -> str:
        """Return a session as the value of a cookie."""
        return str(self._serializer().dumps([session.id, session.inside]))

    def read(self, header: str) -> ConsoleSession | None:
        """Return the session in the header Cookie, if it is genuine and has not ended."""
        try:
            value = self._serializer().loads(
                parse_cookie(header).get(console_cookie(self.settings), ""), max_age=CONSOLE_SECONDS
            )
            session_id, inside = value
        except (BadData, ValueError, TypeError):
            return None
        return ConsoleSession(session_id, inside is True) if isinstance(session_id, str) else None

    @property
    def password(self) -> str:
        """The console's password: read again when its file has changed, as by `arena console-password`."""
        try:
            changed = (self.settings.dir / SECRETS_FILE).stat().st_mtime_ns
            if self._password[0] != changed:
                self._password = (changed, read_console_password(self.settings.dir))
        except (OSError, SettingsError):  # the one that is known stays
            return self._password[1] or self.settings.console_password
        return self._password[1]

    def _serializer(self) -> URLSafeTimedSerializer:
        key = "|".join((self.settings.secret_key, self.password, self._salt))
        secret = hashlib.sha256(key.encode()).hexdigest()
        return URLSafeTimedSerializer(secret, salt="verse-console-2", signer_kwargs=_SIGNER)
