"""The language of a page, and its sentences: from the catalogs in `translations/`, which are text files (gettext).

A phone's page is in the language that its owner chose at the foot of a page, else in that of the event's settings, else
in the first that its browser names. The stage has the event's. The console, the API and the command line are English.
"""

from __future__ import annotations

import functools
import gettext
import io
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from babel.dates import format_time
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from flask import g, has_request_context, request
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header, parse_cookie

from arena.phrases import Phrase
from arena.settings import AUTO, LANGUAGES
from arena.web.context import get_context

NAMES = {"en": "English", "de": "Deutsch", "es": "Español"}  # of languages, each in itself
SOURCE = "en"  # the language of the code
LANGUAGE_COOKIE = "lang"
LANGUAGE_FIELD = "lang"  # of an address: sets the cookie
FOLDER = Path(__file__).parent / "translations"
CHECK = ("check/page.js", "check/download.js", "check/result.js", "check/writing.js")
SCRIPTS = {
    "check.js": CHECK,
    "champion.js": ("check/champion.js",),
    "audit.js": ("audit/page.js",),
}  # the modules of joined scripts that have sentences


# The language


def language() -> str:
    """Return the language of the page that is made now."""
    if not has_request_context():
        return SOURCE
    if "language" not in g:
        g.language = _of_request()
    return str(g.language)


def use_language(code: str) -> None:
    """Make the pages of this request in a language."""
    g.language = code


def event_language(setting: str) -> str:
    """Return the language of what everybody sees: the stage, cards, and the published folder."""
    return SOURCE if setting == AUTO else setting


def language_of(setting: str, cookie: str, accepted: str) -> str:
    """Return the language of a phone's pages.

    Args:
        setting: the event's.
        cookie: the header Cookie.
        accepted: the header Accept-Language.
    """
    try:
        chosen = parse_cookie(cookie).get(LANGUAGE_COOKIE)
    except UnicodeDecodeError:  # the header may hold any bytes
        chosen = None
    if chosen in LANGUAGES:
        return chosen
    if setting != AUTO:
        return setting
    return parse_accept_header(accepted, LanguageAccept).best_match(LANGUAGES, SOURCE)


def _of_request() -> str:
    ctx = get_context()
    if ctx.is_console:
        return SOURCE
    if request.path == "/stage":
        return event_language(ctx.settings.language)
    headers = request.headers
    return language_of(ctx.settings.language, headers.get("Cookie", ""), headers.get("Accept-Language", ""))


# The sentences


def catalog_file(code: str) -> Path:
    """Return the file of a language's catalog."""
    return FOLDER / code / "LC_MESSAGES" / "messages.po"


@functools.cache
def read_catalog(code: str) -> Catalog:
    """Read the catalog of a language."""
    with catalog_file(code).open("rb") as file:
        return read_po(file, locale=code)


@functools.cache
def translations_of(code: str) -> gettext.NullTranslations:
    """Return the translations into a language."""
    if code == SOURCE:
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    write_mo(compiled, read_catalog(code))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def get_text(message: str) -> str:
    """Return a sentence in the language of the page."""
    return translations_of(language()).gettext(message)


def get_plural(singular: str, plural: str, count: int) -> str:
    """Return a sentence in the language of the page, in the form for a number.

    Args:
        singular: the English sentence for one.
        plural: the English sentence for any other number.
        count: the number.
    """
    return translations_of(language()).ngettext(singular, plural, count)


def translate(message: object, code: str | None = None) -> str:
    """Return a phrase, or an error whose message is one, in a language; any other text as it is.

    Args:
        message: the phrase.
        code: the language; None: that of the page.
    """
    if isinstance(message, Exception):
        message = message.args[0] if message.args else ""
    if not isinstance(message, Phrase):
        return str(message)
    code = code or language()
    if code == SOURCE:  # a template may say less than the English text
        return str(message)
    catalog = translations_of(code)
    if message.plural:
        template = catalog.ngettext(message.template, message.plural, message.number)
    else:
        template = catalog.gettext(message.template)
    if not message.values:
        return template
    values = {
        name: translate(value, code)
        if isinstance(value, Phrase)
        else format_number(value, code)
        if type(value) is int
        else value
        for name, value in message.values.items()
    }
    return template % values


def format_number(number: float, code: str | None = None, decimals: int = 0) -> str:
    """Return a number as a language writes it.

    >>> format_number(12345, "en"), format_number(12345, "de"), format_number(0.5, "es", 2)
    ('12,345', '12.345', '0,50')

    Args:
        number: any number.
        code: the language; None: that of the page.
        decimals: digits after the decimal point.
    """
    return format_decimal(number, "#,##0" + ("." + "0" * decimals if decimals else ""), locale=code or language())


def format_minute(seconds: float) -> str:
    """Return a time, to the minute, on the clock of the server's machine, which is the organizer's."""
    return format_time(datetime.fromtimestamp(seconds), "HH:mm", locale=language())


def script_words(name: str) -> str:
    """Return the sentences of a script in the language of the page, as JSON; "" in English, which the script has."""
    return _script_words(name, language())


@functools.cache
def _script_words(name: str, code: str) -> str:
    if code == SOURCE:
        return ""
    wanted = {f"arena/web/static/{part}" for part in SCRIPTS.get(name, (name,))}
    found: Mapping[str, str] = {
        str(message.id): str(message.string)
        for message in read_catalog(code)
        if message.id and wanted & {path for path, _ in message.locations}
    }
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))
