"""Compares what pyproject.toml asks for, what constraints.txt pins and what is installed here, without a network.

`python -m tests.support.dependency_audit` fails if a requirement has no exact pin, if a pin is outside of the range
that is asked for, if something that a pinned package needs has no pin, if what is installed is not what is pinned, or
if a pin is needed by nothing. Whether a pinned version has a known hole or was withdrawn by its authors, no file here
tells: with a network, `pipx run pip-audit -r constraints.txt --no-deps --disable-pip` asks for the first, and a fresh
`make setup` warns of the second.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
OF_TORCH = ("cuda-", "nvidia-", "triton")  # packages of its builds for graphics cards, which pin each other
OF_MAKEFILE = "editables"  # which installs it before the package


def read_pins(text: str) -> dict[str, Requirement]:
    """The lines of constraints.txt by the names of their packages."""
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return {canonicalize_name(one.name): one for one in map(Requirement, filter(None, lines))}


def read_requirements(text: str) -> list[Requirement]:
    """What pyproject.toml asks for: for the base, for each extra, and to build."""
    values = tomllib.loads(text)
    extras = values["project"].get("optional-dependencies", {}).values()
    asked = [OF_MAKEFILE, *values["project"]["dependencies"], *values["build-system"]["requires"]]
    asked += [one for extra in extras for one in extra]
    return [Requirement(one) for one in asked]


def faults(requirements: list[Requirement], pins: dict[str, Requirement]) -> Iterator[str]:
    """What is wrong with the pins of some requirements."""
    for name, pin in pins.items():
        kinds = [one.operator for one in pin.specifier]
        if kinds != ["=="] or "*" in str(pin.specifier):
            yield f"{name} is not pinned to one version: {pin}"
    waiting, seen = [(one, "pyproject.toml") for one in requirements], set()
    while waiting:
        asked, by = waiting.pop()
        name = canonicalize_name(asked.name)
        pin = pins.get(name)
        if pin is None:
            if not name.startswith(OF_TORCH):
                yield f"{by} needs {asked}, which constraints.txt does not pin"
            continue
        version = str(pin.specifier).removeprefix("==")
        if not asked.specifier.contains(version, prereleases=True):
            yield f"{by} needs {asked}, and constraints.txt pins {version}"
        key = (name, frozenset(asked.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            if pin.marker is None or pin.marker.evaluate():
                yield f"{name} is not installed: run `make setup`"
            continue
        if installed.version.partition("+")[0] != version:
            yield f"{name} {installed.version} is installed, and constraints.txt pins {version}: run `make setup`"
        for line in installed.requires or []:
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": one}) for one in ("", *asked.extras)):
                waiting.append((needed, name))
    reached = {name for name, _ in seen}
    for name, pin in pins.items():
        if name not in reached and (pin.marker is None or pin.marker.evaluate()):
            yield f"nothing needs {name}, which constraints.txt pins"


def main() -> None:
    pins = read_pins((ROOT / "constraints.txt").read_text("utf-8"))
    found = sorted(set(faults(read_requirements((ROOT / "pyproject.toml").read_text("utf-8")), pins)))
    print("\n".join(found) or f"{len(pins)} pins: exact, complete, installed")
    if found:
        sys.exit(1)


if __name__ == "__main__":
    main()
