"""The colour and the logo of an event: what its settings name, made fit for every page.

A colour is darkened on light paper, and lightened on dark paper, until text in it has enough contrast (WCAG 2.2, AA).
"""

from __future__ import annotations

import colorsys
import re

from arena.settings import Settings, SettingsError
from arena.web.assets import Asset
from arena.web.modules import STATIC

CONTRAST = 4.5  # of text of any size to its ground
MAX_LOGO_BYTES = 65_536  # each phone fetches it
PNG = b"\x89PNG\r\n\x1a\n"
SVG = re.compile(rb"^(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<svg[\s>]", re.S)
GROUNDS = ("paper", "card", "wash")  # what text in the colour stands on
THEME = "theme.css"


def theme_assets(settings: Settings) -> dict[str, Asset]:
    """Return the style sheet and the logo of an event, as static files by name; nothing where none is set.

    Raises:
        SettingsError: The colour is none, or the logo cannot be used.
    """
    assets = {}
    if settings.accent:
        assets[THEME] = Asset.of(theme_css(settings.accent).encode(), "text/css")
    if settings.logo:
        logo = _read_logo(settings)
        if logo is not None:
            name, data, kind = logo
            assets[name] = Asset.of(data, kind)
    return assets


def logo_name(assets: dict[str, Asset]) -> str | None:
    """Return the name of the logo among static files."""
    return next((name for name in assets if name.startswith("logo.")), None)


def theme_css(accent: str) -> str:
    """Return a style sheet with a colour in place of the usual one, as it is or nearest to it with enough contrast.

    >>> theme_css("#005f73").startswith(":root { --mark: #005f73; }")
    True
    """
    light, dark = palettes()
    return (
        f":root {{ --mark: {readable(accent, light, towards=0.0)}; }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ --mark: {readable(accent, dark, towards=1.0)}; }} }}\n"
    )


def readable(colour: str, palette: dict[str, str], towards: float) -> str:
    """Return a colour, moved towards black or white until text in it, and text on it, can be read.

    Args:
        colour: as #rrggbb.
        palette: the colours of pages by name.
        towards: the lightness to move to: 0 for black, 1 for white.
    """
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    hue, lightness, saturation = colorsys.rgb_to_hls(*parts)
    for step in range(101):
        moved = lightness + (towards - lightness) * step / 100
        found = "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue, moved, saturation))
        on_it = contrast(found, palette["on-mark"])
        if min(on_it, *(contrast(found, palette[ground]) for ground in GROUNDS)) >= CONTRAST:
            break
    return found


def palettes() -> list[dict[str, str]]:
    """Return the colours of the pages in the light and in the dark theme."""
    css = (STATIC / "arena.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.S)
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours by WCAG 2.2, from 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb by WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def logo_warning(settings: Settings) -> str | None:
    """Return what it means that the logo cannot be read; None if it can, or there is none."""
    if not settings.logo or (settings.dir / settings.logo).is_file():
        return None
    return f"warning: the pages have no logo: there is no file {settings.dir / settings.logo}"


def _read_logo(settings: Settings) -> tuple[str, bytes, str] | None:
    """Read the logo, and return its name as a static file, its bytes and its type, which its bytes decide.

    A logo that is not there, as after a restore, stops no event: pages have none.

    Raises:
        SettingsError: It cannot be used.
    """
    path = settings.dir / settings.logo
    try:
        if path.stat().st_size > MAX_LOGO_BYTES:
            raise SettingsError(f"{path} is too large for a logo: at most {MAX_LOGO_BYTES:,} bytes")
        data = path.read_bytes()
    except OSError:
        return None
    if data.startswith(PNG):
        return "logo.png", data, "image/png"
    if SVG.match(data):
        return "logo.svg", data, "image/svg+xml"
    raise SettingsError(f"{path} is neither a PNG nor an SVG picture: the logo must be one")
