"""Opens an event and makes new ones, for the command line, the server, the pages and the worker."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from arena.clock import EventClock, RemoteClock
from arena.errors import EventExists
from arena.services import events
from arena.services.log import verify_log
from arena.services.receipts import public_key_of
from arena.services.schemas import EventRules
from arena.settings import (
    DATABASE_FILE,
    SECRETS_FILE,
    SETTINGS_FILE,
    Settings,
    SettingsError,
    create_event_folder,
    load_settings,
    read_receipt_key,
    sqlite_url,
)
from arena.store.backup import (
    BUNDLES,
    DATABASE,
    check_database,
    copy_bundles,
    copy_database,
    copy_file,
    read_database,
    read_manifest,
)
from arena.store.bundles import BundleStore
from arena.store.migrations import upgrade
from arena.store.objects import ObjectStore
from arena.store.spool import Spool
from arena.store.unit_of_work import Database

__all__ = [
    "BundleStore",
    "Database",
    "EventContext",
    "Spool",
    "join_event",
    "make_event",
    "open_database",
    "open_event",
    "restore_event",
    "sqlite_url",
]


@dataclass(frozen=True)
class EventContext:
    """One opened event: everything that services need."""

    settings: Settings
    db: Database
    bundles: BundleStore
    spool: Spool
    clock: EventClock

    def close(self) -> None:
        """Close the connections to the database."""
        self.db.dispose()


def open_event(settings: Settings) -> EventContext:
    """Open the database and the files of an event.

    Raises:
        DatabaseTooNew: A later version wrote the database.
        DatabaseUnusable: The database cannot be opened.
    """
    shared = ObjectStore(settings.bundles_url) if settings.bundles_url else None
    bundles, spool = BundleStore(settings.bundles, shared), Spool(settings.incoming, settings.min_free_bytes)
    bundles.prepare()
    spool.prepare()
    db = open_database(settings.database_url)
    clock = EventClock(wall=RemoteClock(db.time)) if settings.has_many_hosts else EventClock(settings.clock)
    return EventContext(settings, db, bundles, spool, clock)


def open_database(url: str) -> Database:
    """Open a database and bring its tables to the schema of this version.

    Raises:
        DatabaseTooNew: A later version wrote the database.
        DatabaseUnusable: The database cannot be opened.
    """
    upgrade(url)
    return Database.open(url)


def _is_unfinished(folder: Path, database_url: str | None) -> bool:
    """Whether a folder may hold what an interrupted `arena init` left: files, but no event in their database.

    Args:
        folder: the event folder.
        database_url: a database that was given, and that holds no event.

    Raises:
        SettingsError: A file is damaged.
        DatabaseUnusable: The database cannot be opened.
    """
    if (folder / SETTINGS_FILE).exists():
        url = load_settings(folder).database_url
    elif (folder / DATABASE_FILE).exists():
        url = sqlite_url((folder / DATABASE_FILE).absolute())
    else:  # secrets alone may be those of an event in a database elsewhere
        return database_url is not None or not (folder / SECRETS_FILE).exists()
    db = open_database(url)
    try:
        with db.reading() as session:
            events.check_vacant(session)
        return True
    except EventExists:
        return False
    finally:
        db.dispose()


def _kept_key(folder: Path) -> str:
    """Return the public key of what an interrupted `arena init` left in a folder; "" if there is nothing."""
    path = folder / SECRETS_FILE
    return public_key_of(read_receipt_key(path)) if path.exists() else ""


def restore_event(backup: Path, folder: Path, *, now: float) -> Settings:
    """Make an event of a backup, after every file of it was checked.

    Args:
        backup: a folder that `services.backups.back_up` wrote.
        folder: of the event: new or empty.
        now: seconds since the epoch.

    Returns:
        The settings of the event.

    Raises:
        BackupDamaged: A file is not what the backup's description says.
        NoBackup: The folder is no complete backup.
        SettingsError: The folder of the event holds files.
        OSError: A file cannot be read or written.
    """
    manifest = read_manifest(backup)
    folder = folder.absolute()
    if folder.exists() and any(folder.iterdir()):
        raise SettingsError(f"{folder} holds files: restore the event into another folder with --dir")
    check_database(backup / DATABASE)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=folder.parent) as made:
        staging = Path(made) / "event"  # renamed when all of it is there
        (staging / BUNDLES).mkdir(parents=True)
        staging.chmod(0o700)
        copy_database(backup / DATABASE, staging / DATABASE)
        held = {path.stem for path in (backup / BUNDLES).glob("*.verse")}
        copy_bundles(held.union(read_database(staging / DATABASE).needed), backup / BUNDLES, staging / BUNDLES)
        for name in (SECRETS_FILE, SETTINGS_FILE):
            copy_file(backup / name, staging / name)
        with contextlib.closing(open_event(load_settings(staging))) as event:
            verify_log(event.db)
            events.mark_restored(event.db, made_at=manifest.at, now=now)
        if folder.exists():
            folder.rmdir()
        staging.rename(folder)
    return load_settings(folder)


def join_event(
    folder: Path,
    secrets_file: Path,
    *,
    database_url: str,
    bundles_url: str = Settings.bundles_url,
    port: int = Settings.port,
    public_url: str = Settings.public_url,
) -> Settings:
    """Make the folder of a further host that serves an event, with the event's secrets.

    Args:
        folder: new, or an empty folder.
        secrets_file: the secrets.json of the event's first host.
        database_url: the event's database.
        bundles_url: the object store of its bundles, as on the first host.
        port: the port that the server listens on.
        public_url: what links begin with; "": the address listened on.

    Returns:
        The settings of the folder.

    Raises:
        SettingsError: The folder holds an event already, a file is damaged, an option is out of bounds, or the object
            store is not that of the event whose secrets these are.
        NoEvent: The database holds no event.
        DatabaseUnusable: The database cannot be opened.
        BundlesUnreachable: The object store does not answer.
    """
    db = open_database(database_url)
    try:
        name = events.current_event(db).name
    finally:
        db.dispose()
    if not bundles_url:
        raise SettingsError(
            "hosts share their bundles: name the event's object store with --bundles-url, as for its first host"
        )
    owner = ObjectStore(bundles_url).owner()
    if owner != public_key_of(read_receipt_key(secrets_file)):
        whose = "another event than the secrets are" if owner else "no event"
        raise SettingsError(f"the bundles in {bundles_url} are of {whose}: name what the first host was given")
    return create_event_folder(
        folder,
        name,
        secrets_of=secrets_file,
        database_url=database_url,
        bundles_url=bundles_url,
        port=port,
        public_url=public_url,
    )


def make_event(
    folder: Path,
    *,
    name: str,
    rules: EventRules = EventRules(),  # noqa: B008  (frozen)
    database_url: str | None = None,
    bundles_url: str = Settings.bundles_url,
    port: int = Settings.port,
    public_url: str = Settings.public_url,
    rehearsal: bool = False,
    now: float,
) -> Settings:
    """Make a new event: its folder, its database and the event's row.

    Args:
        folder: new, or an empty folder.
        name: what every page calls the event.
        rules: limits of entries and lengths of votes.
        database_url: an empty database; None: a file in the folder.
        bundles_url: an object store for bundles; "": the folder.
        port: the port that the server listens on.
        public_url: what links begin with; "": the address listened on.
        rehearsal: whether `arena rehearse` may use it up.
        now: seconds since the epoch.

    Returns:
        The settings of the new event.

    Raises:
        SettingsError: The folder holds an event already, an option is out of bounds, or the object store has the
            bundles of another event.
        BadName: The name is empty, too long or has control characters.
        BadSetting: A rule is out of bounds.
        EventExists: The database holds an event.
        DatabaseUnusable: The database cannot be opened.
        BundlesUnreachable: The object store does not answer.
    """
    events.check_rules(rules)  # before there is a folder
    store = ObjectStore(bundles_url) if bundles_url else None
    others = store.owner() if store is not None else ""
    name = events.clean_name(name, events.MAX_NAME, "an event's name")
    if database_url is not None:
        db = open_database(database_url)
        try:
            with db.reading() as session:
                events.check_vacant(session)
        finally:
            db.dispose()
    if others and others != _kept_key(folder):
        raise SettingsError(f"{bundles_url} has the bundles of another event: name another folder of the store")
    settings = create_event_folder(
        folder,
        name,
        is_unfinished=_is_unfinished(folder, database_url),
        database_url=database_url,
        bundles_url=bundles_url,
        port=port,
        public_url=public_url,
        rehearsal=rehearsal,
    )
    receipt_key = public_key_of(settings.receipt_key)
    if store is not None:
        store.claim(receipt_key)
    event = open_event(settings)
    events.create_event(event.db, name=name, rules=rules, receipt_key=receipt_key, now=now)
    event.close()
    return settings
