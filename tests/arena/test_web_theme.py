"""The colour and the logo of an event: readable whatever is chosen, and served as nothing but a picture."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.settings import SettingsError, load_settings
from arena.web import theme
from tests.support.evening import Evening

SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@given(st.integers(0, 0xFFFFFF))
def test_any_colour_becomes_readable_on_every_ground_of_both_themes(number: int) -> None:
    found = re.findall(r"--mark: (#[0-9a-f]{6})", theme.theme_css(f"#{number:06x}"))
    for colour, palette in zip(found, theme.palettes(), strict=True):
        for ground in (*theme.GROUNDS, "on-mark"):
            assert theme.contrast(colour, palette[ground]) >= theme.CONTRAST


def test_a_colour_with_enough_contrast_stays_as_it_is() -> None:
    light, dark = theme.palettes()
    assert theme.readable("#005f73", light, towards=0.0) == "#005f73"
    assert theme.readable("#9ce3d0", dark, towards=1.0) == "#9ce3d0"


def test_pages_have_the_colour_and_the_logo_of_the_event(tmp_path: Path) -> None:
    (tmp_path / "event").mkdir()
    evening = Evening(tmp_path / "event", accent="#AA00FF", logo="mark.svg")
    (evening.folder / "mark.svg").write_bytes(SVG)
    evening.create()
    phone = evening.phone()
    for address in ("/", "/stage", "/results"):
        page = phone.get(address).text
        assert "/static/theme.css" in page and "/static/logo.svg" in page, address
    logo = phone.get("/static/logo.svg")
    assert logo.mimetype == "image/svg+xml" and logo.data == SVG
    assert "default-src 'none'" in logo.headers["Content-Security-Policy"], "its script does not run"
    assert logo.headers["X-Content-Type-Options"] == "nosniff"
    assert "--mark: #" in phone.get("/static/theme.css").text
    assert "/static/logo.svg" in evening.organizer().get("/console").text
    evening.end()


def test_an_event_without_a_logo_or_a_colour_fetches_none(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event").create()
    page = evening.phone().get("/").text
    assert "theme.css" not in page and "logo" not in page
    evening.end()


@pytest.mark.parametrize(
    ("data", "refusal"),
    [(b"<html><script>", "neither a PNG nor an SVG"), (b"GIF89a", "neither"), (theme.PNG + b"x" * 70_000, "too large")],
)
def test_a_logo_that_is_no_small_picture_is_refused_with_the_reason(tmp_path: Path, data: bytes, refusal: str) -> None:
    evening = Evening(tmp_path / "event", logo="mark.png").create()
    (evening.folder / "mark.png").write_bytes(data)
    with pytest.raises(SettingsError, match=refusal):
        theme.theme_assets(evening.settings)
    evening.end()


def test_a_logo_that_is_not_there_stops_no_event_and_is_said(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event", logo="mark.png").create()
    assert evening.phone().get("/").status_code == 200
    assert "no logo" in (theme.logo_warning(evening.settings) or "")
    evening.end()


@pytest.mark.parametrize(
    "wrong", [{"accent": "red"}, {"accent": "#12345"}, {"logo": "../secrets.json"}, {"logo": "/etc/passwd"}]
)
def test_a_wrong_colour_or_a_path_is_refused_with_what_is_wanted(tmp_path: Path, wrong: dict[str, str]) -> None:
    evening = Evening(tmp_path / "event").create()
    path = evening.folder / "settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | wrong))
    with pytest.raises(SettingsError, match="must be"):
        load_settings(evening.folder)
    evening.end()
