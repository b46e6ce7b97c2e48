"""`arena doctor`: find out before the evening what is in the way."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arena.cli.options import folder_option, handle_errors
from trainer.verse.text import sanitize

if TYPE_CHECKING:
    from arena.server.doctor import Finding

COLORS = {"ok": "green", "look": "yellow", "wrong": "red"}


@click.command()
@click.option("--lan", metavar="ADDRESS", help="This computer's address in the room's network.  [default: found]")
@click.option("--port", type=click.IntRange(1, 65_535), help="The port of the server.  [default: the event's, or 8000]")
@click.option(
    "--minutes",
    type=click.FloatRange(0, 60, min_open=True),
    default=2.0,
    show_default=True,
    help="How long to wait for a phone.",
)
@click.option("--no-wait", is_flag=True, help="Do not wait for a phone.")
@folder_option
@handle_errors
def doctor(folder: Path, lan: str | None, port: int | None, minutes: float, no_wait: bool) -> None:
    """Check this computer and the network of the room, and wait for one phone.

    Run it in the room, before the guests come, while the server is not running. Each line says what is so and what to
    do; at the end, scan the code with a phone that is in the Wi-Fi of the room. The exit status is 1 if something is
    wrong.

    \b
    Examples:
      arena doctor
      arena doctor --lan 192.168.8.1 --minutes 5
    """
    from arena.addresses import list_addresses
    from arena.server import doctor as checks
    from arena.settings import Settings, SettingsError, load_settings

    wrong = False

    def say(finding: Finding) -> None:
        nonlocal wrong
        wrong = wrong or finding.level == "wrong"
        level = click.style(f"{finding.level:<6}", fg=COLORS[finding.level])
        click.echo(f"{level} {finding.what:<11} {sanitize(finding.text)}")

    settings = None
    with contextlib.suppress(SettingsError):
        settings = load_settings(folder)
    if port is None:
        port = settings.port if settings else Settings.port
    addresses = list_addresses()
    network = checks.check_addresses(addresses, lan)
    host = lan or "0.0.0.0"
    is_free = checks.check_port(host, port, settings)
    for finding in (network, is_free, checks.check_descriptors(), checks.check_disk(folder.absolute())):
        say(finding)
    for finding in (checks.check_folder(folder.absolute()), checks.check_clock(settings), checks.check_sleep()):
        say(finding)
    if not no_wait and network.level != "wrong" and is_free.level == "ok":
        address = lan or addresses[0].address
        for finding in _wait_for_phone(host, address, port, [one.address for one in addresses], 60 * minutes):
            say(finding)
    raise SystemExit(1 if wrong else 0)


def _wait_for_phone(host: str, address: str, port: int, own: list[str], seconds: float) -> list[Finding]:
    """Show a QR code, wait for a phone, and return what that says.

    Args:
        host: the address to listen on.
        address: the one that the phone uses.
        port: the port.
        own: the addresses of this computer.
        seconds: to wait.
    """
    import segno

    from arena.addresses import list_addresses
    from arena.server import doctor as checks
    from arena.server.phone_probe import PhoneProbe, reaches

    url = f"http://{address}:{port}/"
    probe = PhoneProbe(host, port, [*own, "127.0.0.1"])
    with probe.opened():
        reached_itself = reaches(address, port)
        click.echo()
        segno.make(url, error="m", micro=False).terminal(compact=True)
        click.echo(f"Scan this code with a phone in the Wi-Fi of the room, or open {url}\nWaiting; Ctrl-C ends it.\n")
        arrival = probe.wait(seconds)
    if arrival is None:
        return checks.explain_silence(reached_itself, checks.firewall_state(), list_addresses())
    found = [checks.Finding("phone", "ok", f"a phone arrived from {arrival.address} ({arrival.agent})")]
    if arrival.ahead is not None:
        found.append(checks.check_phone_clock(arrival.ahead))
    return found
