"""The address that limits of attempts go by, behind proxies and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from arena.services import voters
from arena.settings import SettingsError, create_event_folder
from arena.web.client_address import client_address
from tests.support.evening import Evening
from tests.support.pages import post

TRUSTED = "10.0.0.0/8 2001:db8::/32 127.0.0.1"


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("198.51.100.1", "203.0.113.7", "198.51.100.1"),  # no proxy of ours: a client may write what it likes
        ("10.0.0.2", "203.0.113.7", "203.0.113.7"),
        ("::ffff:10.0.0.2", "203.0.113.7", "203.0.113.7"),  # as a socket for both kinds of addresses shows it
        ("10.0.0.2", "6.6.6.6, 203.0.113.7", "203.0.113.7"),  # what the client wrote stands before it
        ("10.0.0.2", "203.0.113.7, 2001:db8::5", "203.0.113.7"),  # two proxies
        ("10.0.0.2", "10.9.9.9", "10.9.9.9"),  # a client of the proxy's own network
        ("10.0.0.2", "203.0.113.7, unknown", "10.0.0.2"),
        ("10.0.0.2", "203.0.113.7:5000", "10.0.0.2"),
        ("10.0.0.2", "", "10.0.0.2"),
        (None, "203.0.113.7", None),
    ],
)
def test_only_a_trusted_proxy_names_the_client(peer: str | None, forwarded: str, found: str | None) -> None:
    assert client_address(peer, forwarded, TRUSTED) == found
    assert client_address(peer, forwarded, "") == peer


@pytest.mark.parametrize("wrong", ["proxy.example.org", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.1,10.0.0.2"])
def test_a_setting_that_names_no_networks_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(SettingsError, match="trusted_proxies must name"):
        create_event_folder(tmp_path / "event", trusted_proxies=wrong)


def wrong_pins(evening: Evening, count: int, forwarded: str) -> list[int]:
    """Type wrong PINs on one phone behind a proxy on this machine; the statuses."""
    phone = evening.phone()
    phone.environ_base["HTTP_X_FORWARDED_FOR"] = forwarded
    return [post(phone, "/join", "/join", code="000000").status_code for _ in range(count)]


@pytest.mark.parametrize("trusted", ["127.0.0.1", ""])
def test_behind_a_trusted_proxy_one_phone_does_not_use_up_the_rooms_guesses(tmp_path: Path, trusted: str) -> None:
    evening = Evening(tmp_path / "event", trusted_proxies=trusted).create()
    voters.set_admission(evening.db, "pin", now=evening.now)
    evening.open()
    assert wrong_pins(evening, 31, "203.0.113.1")[-1] == 429
    assert wrong_pins(evening, 1, "203.0.113.2") == [403 if trusted else 429]
    assert wrong_pins(evening, 1, "203.0.113.9, 203.0.113.1") == [429], "what a client writes itself does not count"
    evening.end()
