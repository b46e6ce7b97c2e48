"""Opens pages in the user's browser, where there is one."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Mapping, Sequence
from typing import TextIO


def can_open_pages(output: TextIO, environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> bool:
    """Return whether somebody watches the output, and has a display for a browser.

    Args:
        output: where the demo prints.
        environment: of this process.
        platform: as `sys.platform`.
    """
    has_display = platform in ("darwin", "win32") or any(map(environment.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    return has_display and output.isatty()


def open_pages(addresses: Sequence[str]) -> None:
    """Open pages, the last one in front. A page that cannot be opened is no error: its address is on the terminal."""

    def open_all() -> None:
        for address in addresses:
            try:
                webbrowser.open(address)
            except (webbrowser.Error, OSError):
                return

    threading.Thread(target=open_all, name="browser", daemon=True).start()  # some browsers end before it returns
