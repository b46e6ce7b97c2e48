"""`arena doctor`: what is in the way, one line each, and one phone."""

from __future__ import annotations

import socket
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from arena.addresses import LOCAL, VIRTUAL, VPN, Address
from arena.cli import main
from arena.server import doctor
from arena.server.phone_probe import PhoneProbe, reaches
from arena.settings import load_settings
from tests.support.evening import Evening
from tests.support.server import unused_port

HOME = Address("192.168.1.5", "wlan0", LOCAL)
OTHER = Address("10.0.0.7", "eth0", LOCAL)
TUNNEL = Address("10.8.0.2", "tun0", VPN)
DOCKER = Address("172.17.0.1", "docker0", VIRTUAL)


@pytest.mark.parametrize(
    ("addresses", "lan", "level", "said"),
    [
        ([], None, "wrong", "in no network: join the Wi-Fi"),
        ([HOME], None, "ok", "192.168.1.5 (wlan0)"),
        ([HOME, DOCKER], None, "ok", "192.168.1.5"),
        ([HOME, OTHER], None, "look", "10.0.0.7 (eth0), start with --lan ADDRESS"),
        ([HOME, TUNNEL], None, "look", "a VPN is on"),
        ([TUNNEL], None, "wrong", "no phone reaches"),
        ([DOCKER], None, "wrong", "no phone reaches"),
        ([HOME], "192.168.1.5", "ok", "an address of this computer"),
        ([HOME], "192.168.9.9", "wrong", "it has 192.168.1.5"),
        ([], "192.168.9.9", "wrong", "it has none"),
    ],
)
def test_the_wrong_address_is_called_so(addresses: list[Address], lan: str | None, level: str, said: str) -> None:
    finding = doctor.check_addresses(addresses, lan)
    assert finding.level == level and said in finding.text


def test_silence_is_explained_by_what_is_known() -> None:
    [unreachable] = doctor.explain_silence(False, "", [HOME])
    assert unreachable.level == "wrong" and "not even this computer" in unreachable.text
    reasons = doctor.explain_silence(True, "ufw, which is on", [HOME, TUNNEL])
    assert [reason.what for reason in reasons] == ["phone", "firewall", "isolation", "VPN"]
    assert "(ufw, which is on)" in reasons[1].text and "client isolation" in reasons[2].text
    assert [reason.what for reason in doctor.explain_silence(True, "which is off", [HOME])] == ["phone", "isolation"]


def test_a_phone_arrives_and_says_what_time_it_has() -> None:
    probe = PhoneProbe("127.0.0.1", 0, own=(), clock=lambda: 1_000.0)
    with probe.opened():
        url = f"http://127.0.0.1:{probe.port}/"
        request = urllib.request.Request(url, headers={"User-Agent": "Phone \x1b[31m" + "x" * 200})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert b"This phone reaches the computer" in answer.read()
        urllib.request.urlopen(url + "clock?ms=1090000", data=b"", timeout=10).close()
        arrival = probe.wait(10)
    assert arrival is not None and (arrival.address, arrival.ahead) == ("127.0.0.1", 90.0)
    assert "\x1b" not in arrival.agent and len(arrival.agent) <= 61
    assert "+90 s" in doctor.check_phone_clock(90.0).text and doctor.check_phone_clock(-5.0).level == "ok"


def test_this_computer_itself_is_no_phone_and_broken_requests_do_no_harm() -> None:
    probe = PhoneProbe("127.0.0.1", 0, own=["127.0.0.1"])
    with probe.opened():
        assert reaches("127.0.0.1", probe.port)
        for data in (b"\xff\xfe\r\n\r\n", b"GET " + b"x" * 100_000 + b"\r\n\r\n", b""):
            with socket.create_connection(("127.0.0.1", probe.port), timeout=10) as wire:
                wire.sendall(data)
        assert reaches("127.0.0.1", probe.port)
        assert probe.wait(0.05) is None
    assert not reaches("127.0.0.1", probe.port)


def test_a_port_that_another_program_has_is_called_so(tmp_path: Path) -> None:
    port = unused_port()
    assert doctor.check_port("127.0.0.1", port, None).level == "ok"
    with socket.create_server(("127.0.0.1", port)):
        assert doctor.check_port("127.0.0.1", port, None).level == "wrong"


def test_disk_clock_and_folder_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evening = Evening(tmp_path / "event").create()
    evening.end()
    found = doctor.check_folder(tmp_path / "event")
    assert (found.what, found.level) == ("event", "ok") and "is draft" in found.text
    assert not (tmp_path / "event" / "doctor-probe").exists()
    none = doctor.check_folder(tmp_path / "nothing")
    assert none.level == "look" and "arena init" in none.text
    settings = load_settings(tmp_path / "event")
    assert doctor.check_clock(settings, now=0.0).level == "wrong"
    assert doctor.check_clock(settings, now=time.time()).level == "ok"
    assert doctor.check_disk(tmp_path / "not" / "yet").what == "disk"
    usage = replace_usage(1_000)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    assert doctor.check_disk(tmp_path).level == "wrong"
    (tmp_path / "event" / "arena.sqlite3").write_bytes(b"no database" * 1_000)
    damaged = doctor.check_folder(tmp_path / "event")
    assert damaged.level == "wrong" and "cannot be used" in damaged.text


def replace_usage(free: int) -> object:
    return type("usage", (), {"free": free})()


@pytest.mark.parametrize(
    ("system", "outputs", "seconds"),
    [
        ("linux", {"gsettings": "'nothing'\n"}, 0),
        ("linux", {"gsettings": "1800\n"}, 1800),
        ("linux", {}, None),
        ("darwin", {"pmset": "Currently in use:\n sleep                10 (sleep prevented)\n displaysleep 5\n"}, 600),
        ("win32", {"powercfg": "Index: 0x00000708\n Index: 0x00000384\n"}, 1800),
        ("win32", {"powercfg": "nothing"}, None),
    ],
)
def test_what_the_system_says_about_sleep_is_understood(
    monkeypatch: pytest.MonkeyPatch, system: str, outputs: dict[str, str], seconds: int | None
) -> None:
    monkeypatch.setattr(doctor, "tool_output", lambda command: outputs.get(Path(command[0]).name, ""))
    assert doctor.sleep_seconds(system) == seconds
    assert doctor.check_sleep(system).what == "sleep"


def test_tools_that_are_missing_or_hang_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.tool_output(["no-such-tool-here"]) == ""
    monkeypatch.setattr(doctor, "TOOL_SECONDS", 0.1)
    assert doctor.tool_output(["sleep", "5"]) == ""
    monkeypatch.setattr(doctor, "tool_output", lambda command: "")
    assert [doctor.firewall_state(system) for system in ("darwin", "win32", "linux")] == ["", "", ""]


def test_the_command_prints_one_line_a_check_and_fails_where_something_is_wrong(tmp_path: Path) -> None:
    Evening(tmp_path / "event").create().end()
    port = unused_port()
    words = ["doctor", "--no-wait", "--port", str(port), "--dir", str(tmp_path / "event")]
    result = CliRunner().invoke(main, [*words, "--lan", "127.0.0.1"])
    assert result.exit_code == 0, result.output
    checks = [line.split()[1] for line in result.output.splitlines()]
    assert checks == ["network", "port", "open", "disk", "event", "clock", "sleep"]
    with socket.create_server(("127.0.0.1", port)):
        result = CliRunner().invoke(main, [*words, "--lan", "127.0.0.1"])
    assert result.exit_code == 1 and "another program uses it" in result.output


def test_the_command_shows_a_code_and_says_why_nobody_came(tmp_path: Path) -> None:
    port = unused_port()
    words = ["doctor", "--minutes", "0.001", "--port", str(port), "--lan", "127.0.0.1", "--dir", str(tmp_path / "none")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert f"http://127.0.0.1:{port}/" in result.output and "\u2584" in result.output, "a code of half blocks"
    assert "client isolation" in result.output and "arena init" in result.output
