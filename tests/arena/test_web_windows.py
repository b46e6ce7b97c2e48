"""A phone in a Wi-Fi without internet, and a page in a window that is no browser: both are told what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from arena.web.windows import is_borrowed_window
from tests.support.evening import Evening

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
ANDROID = "Mozilla/5.0 (Linux; Android 14; Pixel 8{}) AppleWebKit/537.36 (KHTML, like Gecko) {}Chrome/124.0 Mobile"
SIGN_IN_OF_AN_IPHONE = f"{IPHONE} Mobile/15E148"
SIGN_IN_OF_AN_ANDROID = f"{ANDROID.format('; wv', 'Version/4.0 ')} Safari/537.36"
NO_BROWSERS = {
    "an iPhone's sign-in window": SIGN_IN_OF_AN_IPHONE,
    "an Android's sign-in window": SIGN_IN_OF_AN_ANDROID,
    "a Mac's sign-in window": "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "a messenger": f"{IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/460.0]",
}
BROWSERS = {
    "Safari": f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1",
    "Chrome on an iPhone": f"{IPHONE} CriOS/124.0 Mobile/15E148 Safari/604.1",
    "Chrome": f"{ANDROID.format('', '')} Safari/537.36",
    "Firefox": "Mozilla/5.0 (Android 14; Mobile; rv:125.0) Gecko/125.0 Firefox/125.0",
    "none": "",
}


@pytest.mark.parametrize("name", NO_BROWSERS)
def test_a_window_that_is_no_browser_is_told_from_a_browser(name: str) -> None:
    assert is_borrowed_window(NO_BROWSERS[name])


@pytest.mark.parametrize("name", BROWSERS)
def test_a_browser_is_taken_for_one(name: str) -> None:
    assert not is_borrowed_window(BROWSERS[name])


@pytest.mark.parametrize("agent", [SIGN_IN_OF_AN_IPHONE, SIGN_IN_OF_AN_ANDROID])
def test_a_phone_in_the_sign_in_window_of_a_wi_fi_is_told_to_open_its_browser(tmp_path: Path, agent: str) -> None:
    event = Evening(tmp_path / "event").create()
    event.voting(2)
    phone, window = event.phone(), {"User-Agent": agent}
    said = f'Open <b class="break">{event.settings.base_url}</b> in your browser instead.'
    for path in ("/", "/enter", "/mine", "/votes", "/generate_204", "/hotspot-detect.html"):  # the last two: what a
        assert said in phone.get(path, headers=window).text, path  # phone opens where a router leads it here
        assert said not in phone.get(path, headers={"User-Agent": BROWSERS["Safari"]}).text, path
    assert said not in phone.get("/results", headers=window).text, "one page, kept for everybody"
    event.end()


def test_phones_and_stage_say_to_stay_in_a_wi_fi_without_internet_and_in_one_browser(tmp_path: Path) -> None:
    event = Evening(tmp_path / "event").create()
    wi_fi, browser = "Stay in this Wi-Fi, even if", "Use one browser for the whole event"
    for step in (lambda: None, event.open, event.close):
        step()
        page = event.phone().get("/").text
        assert wi_fi in page and browser in page
        assert wi_fi in event.phone().get("/stage").text
    event.end()
    drawn = Evening(tmp_path / "drawn").create()
    drawn.draw(2)
    page = drawn.phone().get("/").text
    assert "The bracket is drawn" in page and wi_fi in page and browser in page
    drawn.end()


def test_an_event_on_the_internet_says_nothing_of_a_wi_fi(tmp_path: Path) -> None:
    event = Evening(tmp_path / "event", public_url="https://verses.example.org").begin()
    page = event.phone().get("/").text
    assert "Wi-Fi" not in page and "Use one browser for the whole event" in page
    assert "Wi-Fi" not in event.phone().get("/stage").text
    event.end()
