"""This computer's addresses: which of them phones reach, and one chosen while the event is served."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from arena.addresses import LOCAL, VIRTUAL, VPN, address_url, list_addresses, sort_addresses
from arena.cli import main
from arena.server.network import with_address
from arena.services.log import verify_log
from arena.services.queries import latest_record
from arena.settings import SettingsError
from tests.support.evening import Evening
from tests.support.pages import post
from tests.support.server import ask, within
from trainer.verse.event_path import event_path


def cards(**addresses: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What psutil says of network cards; an address of "-" is that of a card that is down."""
    listed = {
        name: [SimpleNamespace(family=socket.AF_INET, address=address.strip("-") or "10.9.9.9")]
        for name, address in addresses.items()
    }
    return listed, {name: SimpleNamespace(isup=address != "-") for name, address in addresses.items()}


@pytest.mark.parametrize(
    ("addresses", "routed", "first"),
    [
        ({"lo": "127.0.0.1", "wlan0": "192.168.1.5", "tun0": "10.8.0.2"}, "10.8.0.2", "192.168.1.5"),  # all by the VPN
        ({"lo": "127.0.0.1", "wlan0": "192.168.1.5"}, "", "192.168.1.5"),  # a router without internet
        ({"docker0": "172.17.0.1", "eth0": "10.0.0.3", "wlan0": "10.1.0.7"}, "10.1.0.7", "10.1.0.7"),
        ({"en0": "192.168.0.4", "utun3": "100.100.3.4"}, "100.100.3.4", "192.168.0.4"),
        ({"Wi-Fi": "192.168.0.4", "vEthernet (WSL)": "172.20.0.1"}, "172.20.0.1", "192.168.0.4"),
        ({"wg0": "10.8.0.2", "eth0": "-"}, "10.8.0.2", "10.8.0.2"),  # nothing else: say so, and take it
    ],
)
def test_the_address_of_the_room_s_network_comes_before_those_of_a_vpn(
    addresses: dict[str, str], routed: str, first: str
) -> None:
    found = sort_addresses(*cards(**addresses), routed)
    assert found[0].address == first
    assert not any(one.address.startswith(("127.", "169.254.")) for one in found)


def test_the_kind_of_each_network_is_named() -> None:
    found = sort_addresses(*cards(wlan0="192.168.1.5", tun0="10.8.0.2", docker0="172.17.0.1", eth1="169.254.3.3"), "")
    assert [(one.kind, one.interface) for one in found] == [(LOCAL, "wlan0"), (VPN, "tun0"), (VIRTUAL, "docker0")]
    assert all(one.address for one in list_addresses())  # of this computer, whatever it has


def test_a_computer_in_no_network_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evening = Evening(tmp_path / "event")
    monkeypatch.setattr("psutil.net_if_addrs", dict)
    with pytest.raises(SettingsError, match="in no network: join the Wi-Fi of the room first"):
        with_address(evening.settings, lan="auto", port=0)
    evening.end()


@pytest.mark.parametrize(
    ("typed", "current", "url"),
    [
        ("verses.example.org:443", "https://verses.example.org", "http://verses.example.org:443"),
        ("192.168.1.5", "http://10.8.0.2:8000", "http://192.168.1.5:8000"),
        (" 192.168.1.5:9000/", "http://10.8.0.2:8000", "http://192.168.1.5:9000"),
        ("fe80::1", "http://10.8.0.2:8000", "http://[fe80::1]:8000"),
        ("laptop.local", "http://10.8.0.2:8000", "http://laptop.local:8000"),
        ("https://verses.example.org/", "http://127.0.0.1:8000", "https://verses.example.org"),
        ("192.168.1.5", "http://10.8.0.2:8000/e/spring", "http://192.168.1.5:8000/e/spring"),
        ("https://x.example/e/spring/", "https://verses.example.org/e/spring", "https://x.example/e/spring"),
    ],
)
def test_an_address_is_taken_as_people_type_it(typed: str, current: str, url: str) -> None:
    assert address_url(typed, current, path=event_path(current)) == url


@pytest.mark.parametrize(
    ("typed", "current", "says"),
    [
        ("192.168.1.5", "http://127.0.0.1:8000", "start it with `arena serve --lan`"),
        ("192.168.1.5", "https://verses.example.org", "give the whole address"),
        ("http://a b", "http://10.8.0.2:8000", "must look like"),
        ("javascript://x", "http://10.8.0.2:8000", "must look like"),
        ("https://x/?a=1", "http://10.8.0.2:8000", "must look like"),
        ("https://x/e/spring?", "http://10.8.0.2:8000/e/spring", "must look like"),
        ("https://x#", "http://10.8.0.2:8000", "must look like"),
        ("", "http://10.8.0.2:8000", "must look like"),
        ("https://x.example/e/summer", "https://x.example/e/spring", "end with /e/spring"),
        ("https://x.example/e/summer", "https://x.example", "have no path"),
    ],
)
def test_an_address_that_no_phone_reaches_is_refused(typed: str, current: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        address_url(typed, current, path=event_path(current))


def test_the_console_offers_this_computer_s_addresses_and_the_stage_follows(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event", host="0.0.0.0", port=8000, public_url="http://10.8.0.2:8000").create()
    organizer, phone = evening.organizer(), evening.phone()
    page = organizer.get("/console").text
    assert all(one.address in page for one in list_addresses())
    assert "10.8.0.2" in phone.get("/stage").text
    key = phone.get("/").text.partition('data-key="')[2].partition('"')[0]
    seen = latest_record(evening.db)
    assert post(organizer, "/console", "/console/address", address="192.168.1.5", seen=seen).status_code == 303
    assert "192.168.1.5:8000" in phone.get("/stage").text and "10.8.0.2" not in phone.get("/stage").text
    assert "http://192.168.1.5:8000" in organizer.get("/console").text
    assert key != phone.get("/").text.partition('data-key="')[2].partition('"')[0], "open pages ask for it again"
    stale = post(organizer, "/console", "/console/address", address="10.0.0.1", seen=seen)
    assert stale.status_code == 409 and "another address was set" in stale.text
    refused = post(organizer, "/console", "/console/address", address="http://a b", seen=latest_record(evening.db))
    assert refused.status_code == 422 and "must look like" in refused.text
    verify_log(evening.db)
    evening.end()


@pytest.mark.slow
def test_a_command_changes_the_address_of_a_server_that_runs(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event", now=None).create()
    evening.serve()

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["event", "address", *words, "--dir", str(evening.folder)])
        return result.exit_code, result.output

    code, out = run()
    assert code == 0 and f"phones use http://127.0.0.1:{evening.port}/" in out
    code, out = run("192.168.1.5")
    assert code == 1 and "arena serve --lan" in out
    code, out = run("https://verses.example.org")
    assert (code, out) == (0, "phones use https://verses.example.org/\n")
    assert within(20, lambda: b"verses.example.org" in ask(evening.port, "GET /stage")[2])
    assert "Secure" in ask(evening.port, "GET /")[1]["set-cookie"]
    evening.end()
    evening.serve()
    code, out = run()
    assert f"phones use http://127.0.0.1:{evening.port}/" in out, "the next server begins with its own"
    evening.end()
