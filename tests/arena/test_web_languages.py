"""The pages in German and Spanish: complete catalogs, the language of each phone, and of what is kept and pushed."""

from __future__ import annotations

import json
import re
import string
from itertools import zip_longest
from pathlib import Path

import pytest

from arena.errors import MatchClosed, WrongState
from arena.server.snapshot import EncodedSnapshot
from arena.services import queries
from arena.settings import SettingsError
from arena.web import catalogs
from arena.web.cookies import serializer
from arena.web.pushed import PushedPages
from arena.web.translation import SCRIPTS, language_of, read_catalog, translate
from tests.support.evening import Evening, secret_of

FIRST_PAGE_BYTES = 13_000  # as in test_web_vote
GERMAN, SPANISH = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}, {"Accept-Language": "es-MX"}


def fields(text: str) -> list[str]:
    """Placeholders and tags, which a translation must keep."""
    named = re.findall(r"%\(\w+\)s|%%", text)
    braces = [name for _, name, _, _ in string.Formatter().parse(text) if name] if "{" in text else []
    return sorted(named + braces + re.findall(r"<[^>]+>", text))


@pytest.mark.parametrize("code", catalogs.TARGETS)
def test_every_sentence_of_the_code_is_translated_with_its_placeholders_and_tags(code: str) -> None:
    catalog, wanted = read_catalog(code), {message.id for message in catalogs.extract() if message.id}
    assert wanted == {message.id for message in catalog if message.id}, "run `make translations`, and translate"
    for message in catalog:
        if not message.id:
            continue
        originals = [message.id] if isinstance(message.id, str) else list(message.id)
        forms = [message.string] if isinstance(message.string, str) else list(message.string)
        assert not message.fuzzy and len(forms) >= len(originals) and all(forms), message.id
        for original, form in zip_longest(originals, forms, fillvalue=originals[-1]):
            assert fields(original) == fields(form), message.id


@pytest.mark.parametrize(
    ("setting", "cookie", "accepted", "wanted"),
    [
        ("auto", "", "de-CH,fr;q=0.5", "de"),
        ("auto", "", "fr,ja", "en"),
        ("auto", "lang=es", "de", "es"),
        ("auto", "lang=xx", "de", "de"),
        ("de", "", "es", "de"),
        ("de", "lang=en", "es", "en"),
        ("auto", "lang=\x00;;=", "\x00;q=x", "en"),
        ("auto", "lang=\xff\xfe", "de", "de"),
    ],
)
def test_a_phone_has_the_language_it_chose_else_the_events_else_its_browsers(
    setting: str, cookie: str, accepted: str, wanted: str
) -> None:
    assert language_of(setting, cookie, accepted) == wanted


def test_a_setting_that_names_no_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="language must be auto or one of en, de, es"):
        Evening(tmp_path / "event", language="fr")


def test_two_phones_of_two_languages_get_their_own_pages_also_pushed_and_kept_ones(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event").create()
    evening.voting(2)
    phone = evening.phone()
    words = {"de": "Welches Gedicht ist besser?", "es": "¿Qué poema es mejor?", "en": "Which verse is better?"}
    for headers, code in ((GERMAN, "de"), (SPANISH, "es"), ({}, "en")):
        page = phone.get("/", headers=headers).text
        assert words[code] in page and f'<html lang="{code}">' in page
        assert ("Final" if code != "de" else "Finale") in page
    titles = {phone.get("/results", headers=h).text.split("<h1>")[1][:8] for h in (GERMAN, SPANISH, {}, GERMAN)}
    assert len(titles) == 3
    pages = PushedPages(evening.app, evening.settings, lambda: evening.now)
    pushed = pages.render(EncodedSnapshot.of(queries.snapshot(evening.db, now=evening.now), evening.now))
    assert pushed is not None
    cookie = f"t={serializer(evening.settings, 'voter').dumps(secret_of('ada'))}"
    for code, text in words.items():
        listener = pages.listener({"cookie": cookie, "accept-language": code})
        assert text in json.loads(pushed.for_listener(listener).partition(b"data: ")[2])
    evening.end()


def test_the_language_chosen_at_the_foot_of_a_page_stays_without_leaving_the_page_or_this_server(
    tmp_path: Path,
) -> None:
    evening = Evening(tmp_path / "event").create()
    phone = evening.phone()
    assert 'href="?lang=de"' in phone.get("/results").text
    chosen = phone.get("/results?lang=de")
    assert chosen.status_code == 303 and chosen.headers["Location"] == "/results"
    assert "Ergebnisse" in phone.get("/results", headers=SPANISH).text
    assert phone.get("/?match=r1m1&lang=es").headers["Location"] == "/?match=r1m1"
    away = phone.get("//elsewhere.example/?lang=es").headers["Location"]
    assert re.fullmatch(r"/(elsewhere\.example/)?", away)
    assert "lang=" not in phone.get("/?lang=fr").headers.get("Set-Cookie", "")
    evening.end()


def test_the_stage_has_the_events_language_and_the_console_is_english(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event", language="de").create()
    evening.voting(2)
    stage = evening.phone().get("/stage", headers=SPANISH).text
    assert '<html lang="de">' in stage and "Finale" in stage and "Welches Gedicht ist besser?" in stage
    assert '<html lang="en">' in evening.organizer().get("/console", headers=GERMAN).text
    evening.end()


def test_errors_are_translated_for_people_and_english_for_programs(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event").create()
    phone = evening.phone()
    assert "Diese Seite gibt es nicht." in phone.get("/nowhere", headers=GERMAN).text
    assert phone.get("/api/v1/nowhere", headers=GERMAN).get_json()["message"].startswith("There is no such page.")
    author = evening.voting(2)[0]
    headers = GERMAN | {"Authorization": f"Bearer {author.secret}"}
    refused = phone.delete(f"/api/v1/entries/{author.entry}", headers=headers)
    assert refused.status_code == 409 and "is not possible while the event is 'drawn'" in refused.get_json()["message"]
    state = WrongState("withdrawing this verse", "drawn", "open")
    assert "while the event is 'drawn'" in translate(state, "en") and "jetzigen Stand" in translate(state, "de")
    error = MatchClosed("r1m1")
    assert translate(error, "es").startswith("este duelo está cerrado") and str(error).startswith("this match is")
    evening.end()


@pytest.mark.parametrize("code", catalogs.TARGETS)
def test_the_first_load_of_the_vote_fits_the_first_round_trip_in_every_language(tmp_path: Path, code: str) -> None:
    evening = Evening(tmp_path / "event", language=code).create()
    evening.voting(2)
    phone = evening.phone()
    headers = {"Accept-Encoding": "gzip"}
    page = phone.get("/").text
    loads = ["/", *re.findall(r'(?:src|href)="(/static/arena\.(?:js|css)[^"]*)"', page)]
    assert sum(len(phone.get(address, headers=headers).data) for address in loads) <= FIRST_PAGE_BYTES
    assert 'data-words="' in page and len(loads) == 3
    evening.end()


def test_the_sentences_of_each_script_come_with_its_page(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event", language="de").create()
    for address in ("/check", "/enter", "/audit"):
        for name, words in re.findall(
            r'/static/([\w.]+\.js)\?[^>]* data-words="([^"]*)"', evening.phone().get(address).text
        ):
            assert words.startswith("{") and len(words) > 20, name
    assert set(SCRIPTS) == {"audit.js", "check.js", "champion.js"}
    evening.end()
