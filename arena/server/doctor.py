"""What may be in the way of an evening, from the network to the clock. Each check says what to do."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psutil

from arena.addresses import LOCAL, VPN, Address
from arena.clock import EventClock
from arena.errors import ArenaError
from arena.server.network import PortTaken, free_port, raise_descriptor_limit
from arena.server.server import is_answering
from arena.settings import Settings, SettingsError, load_settings, privacy_warning
from trainer.verse.files import sync_folder, write_new
from trainer.verse.text import pluralize

Level = Literal["ok", "look", "wrong"]
PHONES = 200  # that a server should carry
CONNECTIONS_PER_PHONE = 2
LITTLE_DISK = 10 * 10**9  # bytes: 256 bundles of the medium preset
FIRST_YEAR = 2025  # no evening with this program was before
CLOCK_DIFFERENCE = 60.0  # seconds between this computer's clock and a phone's
TOOL_SECONDS = 5.0  # that a tool of the system may take


@dataclass(frozen=True)
class Finding:
    """The result of one check, in one line."""

    what: str  # was checked
    level: Level  # wrong: the evening will not work
    text: str  # what is so, and what to do


def check_addresses(addresses: Sequence[Address], lan: str | None) -> Finding:
    """Say which address phones will use, and what could make it the wrong one.

    Args:
        addresses: this computer's, as `list_addresses` sorts them.
        lan: the one that the organizer named.
    """
    if lan is not None:
        if any(one.address == lan for one in addresses) or lan.startswith("127."):
            return Finding("network", "ok", f"{lan} is an address of this computer")
        known = ", ".join(one.address for one in addresses) or "none"
        return Finding("network", "wrong", f"{lan} is no address of this computer (it has {known}): name one of these")
    if not addresses:
        return Finding(
            "network", "wrong", "this computer is in no network: join the Wi-Fi of the room, or open an access point"
        )
    first = addresses[0]
    named = f"{first.address} ({first.interface})"
    if first.kind != LOCAL:
        return Finding(
            "network", "wrong", f"{named} is of {first.kind}, which no phone reaches: join the Wi-Fi of the room"
        )
    others = [one for one in addresses if one.kind == LOCAL][1:]
    if others:
        more = ", ".join(f"{one.address} ({one.interface})" for one in others)
        return Finding(
            "network", "look", f"phones use {named}; if their network is that of {more}, start with --lan ADDRESS"
        )
    if any(one.kind == VPN for one in addresses):
        return Finding("network", "look", f"phones use {named}; a VPN is on: switch it off if they do not arrive")
    return Finding("network", "ok", f"phones use {named}")


def check_port(host: str, port: int, settings: Settings | None) -> Finding:
    """Say whether the server can listen, or listens already.

    Args:
        host: the address to listen on.
        port: the port.
        settings: the event's; None: there is none yet.
    """
    try:
        free_port(host, port)
    except PortTaken as error:
        if settings is not None and is_answering(replace(settings, host="127.0.0.1", port=port)):
            return Finding(
                "port", "look", f"this event is served at port {port}: end it, and run this again for a phone"
            )
        return Finding("port", "wrong", str(error))
    return Finding("port", "ok", f"port {port} is free")


def check_descriptors() -> Finding:
    """Say how many phones the limit of open files allows."""
    phones = raise_descriptor_limit() // CONNECTIONS_PER_PHONE
    if phones < PHONES:
        return Finding(
            "open files", "wrong", f"the system allows connections of {phones} phones: raise it with `ulimit -n 4096`"
        )
    return Finding("open files", "ok", f"connections of {phones:,} phones at once")


def check_disk(folder: Path) -> Finding:
    """Say how much room bundles have on the disk of a folder, which need not exist yet."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    text = f"{free / 1e9:,.1f} GB are free at {there}"
    if free < Settings.min_free_bytes:
        return Finding("disk", "wrong", f"{text}, too little for one bundle: free some, or use another disk with --dir")
    if free < LITTLE_DISK:
        return Finding("disk", "look", f"{text}; a bundle has 2 to 20 MB, the largest 170: free some, to be safe")
    return Finding("disk", "ok", text)


def check_folder(folder: Path) -> Finding:
    """Say whether the event in a folder can be opened and written."""
    from arena.bootstrap import open_event
    from arena.services.events import current_event

    probe = folder / "doctor-probe"
    try:
        settings = load_settings(folder)
        probe.unlink(missing_ok=True)
        write_new(probe, b"written by arena doctor\n")
        sync_folder(folder)
        with contextlib.closing(open_event(settings)) as event:
            name, state = current_event(event.db).name, current_event(event.db).state
        warning = privacy_warning(settings)
        return Finding("event", "look" if warning else "ok", warning or f"{name!r} in {folder} is {state}")
    except SettingsError as error:
        return Finding("event", "look", str(error))
    except (ArenaError, OSError) as error:
        return Finding("event", "wrong", f"{folder} cannot be used: {error}")
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def check_clock(settings: Settings | None, now: float | None = None) -> Finding:
    """Say whether the computer's clock can be right, and agrees with the event's.

    Args:
        settings: the event's; None: there is none yet.
        now: by the computer's clock, in seconds since the epoch; None: now.
    """
    now = time.time() if now is None else now
    shown = time.strftime("%Y-%m-%d %H:%M", time.localtime(now))
    if time.localtime(now).tm_year < FIRST_YEAR:
        return Finding("clock", "wrong", f"this computer says {shown}: set its date and time")
    ahead = EventClock(settings.clock, wall=lambda: now).ahead if settings else 0.0
    if ahead:
        return Finding(
            "clock",
            "look",
            f"this computer's clock was changed by {ahead:+,.0f} s in an event: see `arena event clock`",
        )
    return Finding("clock", "ok", f"this computer says {shown}")


def check_phone_clock(difference: float) -> Finding:
    """Say how far a phone's clock is from this computer's.

    Args:
        difference: seconds by which the phone is ahead.
    """
    if abs(difference) > CLOCK_DIFFERENCE:
        return Finding(
            "clock", "look", f"the phone's clock is {difference:+,.0f} s from this computer's: correct the wrong one"
        )
    return Finding("clock", "ok", "the phone's clock agrees with this computer's")


def check_sleep(system: str = sys.platform) -> Finding:
    """Say whether the computer may fall asleep during the evening, as far as the system tells."""
    battery = getattr(psutil, "sensors_battery", lambda: None)()
    if battery is not None and not battery.power_plugged:
        return Finding("sleep", "look", f"the computer runs on its battery ({battery.percent:.0f} %): plug it in")
    seconds = sleep_seconds(system)
    advice = "keep the lid open, and switch off sleeping while plugged in"
    if seconds is None:
        return Finding("sleep", "look", f"the system does not say when it sleeps: {advice}")
    if seconds:
        return Finding(
            "sleep", "look", f"the computer sleeps after {pluralize(round(seconds / 60), 'minute')}: {advice}"
        )
    return Finding("sleep", "ok", "the computer does not sleep while plugged in; keep its lid open")


def sleep_seconds(system: str) -> int | None:
    """Return after how many seconds without use the system sleeps while plugged in; 0: never; None: not known."""
    match system:
        case "darwin":
            words = tool_output(["pmset", "-g"]).split("\n")
            found = next((line.split() for line in words if line.split()[:1] == ["sleep"]), None)
            return 60 * int(found[1]) if found and len(found) > 1 and found[1].isdigit() else None
        case "win32":
            output = tool_output(["powercfg", "/query", "SCHEME_CURRENT", "SUB_SLEEP", "STANDBYIDLE"])
            values = [word for word in output.split() if word.startswith("0x")]
            return int(values[-2], 16) if len(values) >= 2 else None  # plugged in, then battery
        case _:
            schema = "org.gnome.settings-daemon.plugins.power"
            if tool_output(["gsettings", "get", schema, "sleep-inactive-ac-type"]).strip() == "'nothing'":
                return 0
            value = tool_output(["gsettings", "get", schema, "sleep-inactive-ac-timeout"]).strip()
            return int(value) if value.isdigit() else None


def firewall_state(system: str = sys.platform) -> str:
    """Return what the system says of its firewall, in words that follow "firewall"; "" if it says nothing."""
    match system:
        case "darwin":
            output = tool_output(["/usr/libexec/ApplicationFirewall/socketfilterfw", "--getglobalstate"])
            return "which is on" if "enabled" in output.lower() else "which is off" if output else ""
        case "win32":
            output = tool_output(["netsh", "advfirewall", "show", "currentprofile", "state"])
            return "which is on" if " ON" in output.upper() else "which is off" if output else ""
        case _:
            for service in ("ufw", "firewalld", "nftables"):
                if tool_output(["systemctl", "is-active", service]).strip() == "active":
                    return f"{service}, which is on"
            return ""


def explain_silence(reached_itself: bool, firewall: str, addresses: Sequence[Address]) -> list[Finding]:
    """Say why no phone may have arrived, the likeliest reason first.

    Args:
        reached_itself: whether this computer reaches the address by itself.
        firewall: as `firewall_state` returns it.
        addresses: this computer's.
    """
    if not reached_itself:
        return [
            Finding(
                "phone",
                "wrong",
                "not even this computer reaches the address: it is the wrong one, or the firewall closes it; "
                "run `arena doctor --lan ADDRESS` with another of this computer's addresses",
            )
        ]
    found = [
        Finding(
            "phone",
            "wrong",
            "no phone arrived, though this computer reaches the address. Is the phone in the same Wi-Fi, with its "
            "mobile data off? Try again",
        )
    ]
    if firewall != "which is off":
        found.append(
            Finding(
                "firewall",
                "look",
                f"the firewall{f' ({firewall})' if firewall else ''} may keep phones out: let Python accept "
                "connections, or open the port, and try again",
            )
        )
    found.append(
        Finding(
            "isolation",
            "look",
            "if other phones do not arrive either, this Wi-Fi keeps devices apart (client isolation, as guest networks "
            "do): ask who runs it, bring a router, open an access point, or use a tunnel with --public-url",
        )
    )
    if any(one.kind == VPN for one in addresses):
        found.append(Finding("VPN", "look", "a VPN on this computer may take its answers elsewhere: switch it off"))
    return found


def tool_output(command: Sequence[str]) -> str:
    """Return what a tool of the system prints; "" if there is none, or it does not end."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TOOL_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout
