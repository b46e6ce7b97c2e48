"""The page that checks verses, as one file that needs no server."""

from __future__ import annotations

from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup

from arena.web.modules import ENGINE, JOINED, STATIC, join_modules

TEMPLATES = STATIC.parent / "templates"
STYLES = ("arena.css", "check.css")


def saved_page() -> str:
    """Return the page with its styles, its script and the engine within it."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape(), trim_blocks=True)
    environment.add_extension("jinja2.ext.i18n")
    environment.install_null_translations(newstyle=True)  # type: ignore[attr-defined]
    css = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in STYLES)
    return environment.get_template("check_saved.html").render(
        css=_within("style", css),
        script=_within("script", join_modules(JOINED["check.js"])),
        engine=_within("script", join_modules(JOINED[ENGINE])),
    )


def _within(tag: str, text: str) -> Markup:
    """Return text that is put into an element as it is.

    Raises:
        ValueError: It would end the element.
    """
    if f"</{tag}" in text.lower() or "<!--" in text:
        raise ValueError(f"the text would end the element {tag}")
    return Markup(text)
