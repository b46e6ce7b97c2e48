"""Writes the results into a folder that any web host can serve."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from arena.bootstrap import EventContext
from arena.errors import ArenaError
from arena.services.places import read_ranking
from arena.services.queries import results_view
from arena.web.app import create_app
from arena.web.site import MARK, site_files
from arena.web.translation import event_language, use_language
from trainer.verse.files import write_atomically


class NoResults(ArenaError):
    """There is nothing to publish yet."""

    code = "no-results"


class FolderTaken(ArenaError):
    """The folder holds other files."""

    code = "folder-taken"


def write_site(event: EventContext, folder: Path, clock: Callable[[], float] | None = None) -> list[Path]:
    """Write the results into a folder.

    Args:
        event: the event, whose champion is known.
        folder: new, empty, or written by this function before; a file that is no longer needed stays.
        clock: seconds since the epoch; None: the event's clock.

    Returns:
        The files, in the order of writing.

    Raises:
        NoResults: The champion is not known yet.
        FolderTaken: The folder holds files of somebody else.
        OSError: A file cannot be written.
    """
    clock = clock or event.clock
    ranking = read_ranking(event.db, now=clock())
    if ranking.event.state not in ("champion", "published"):
        raise NoResults(
            "the champion is not known yet: run this after the last match. An event with fewer than two verses is "
            "published first: arena event publish"
        )
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise FolderTaken(f"{folder} holds other files: name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with create_app(event, clock=clock).test_request_context("/"):
        use_language(event_language(event.settings.language))
        results = results_view(event.db, now=clock())
        for name, data in site_files(ranking, results, results.event.name):
            write_atomically(folder / name, data)
            written.append(folder / name)
    return written
