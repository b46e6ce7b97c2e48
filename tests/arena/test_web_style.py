"""The style sheets and scripts: contrast, tap targets, and nothing fetched from anywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

STATIC = Path(__file__).resolve().parents[2] / "arena" / "web" / "static"
CSS = (STATIC / "arena.css").read_text(encoding="utf-8")
AA = 4.5  # WCAG 2.2, text of any size
ROOT_PX = 18  # html is 112.5 % of the usual 16


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb by WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def palettes() -> list[dict[str, str]]:
    found = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", CSS, re.S)
    ]
    assert len(found) == 2
    return found


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_enough_contrast_to_its_background(scheme: int) -> None:
    palette = palettes()[scheme]
    for ground in ("paper", "card", "wash"):
        for text in ("ink", "soft", "mark", "a", "b", "good", "bad"):
            assert contrast(palette[text], palette[ground]) >= AA, (text, ground)
    for button in ("mark", "a", "b"):
        assert contrast(palette["on-mark"], palette[button]) >= AA


def test_the_two_typefaces_of_the_stage_are_small() -> None:
    fonts = list(STATIC.glob("*.woff2"))
    assert len(fonts) == 2 and sum(font.stat().st_size for font in fonts) <= 60_000
    assert "SIL OPEN FONT LICENSE" in (STATIC / "garamond-OFL.txt").read_text(encoding="utf-8")


def test_black_on_white_has_the_known_contrast() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_buttons_are_large_enough_for_a_thumb() -> None:
    rule = re.search(r"\.button, button \{(.*?)\}", CSS, re.S)
    assert rule
    height = re.search(r"min-height: ([\d.]+)rem", rule[1])
    assert height and float(height[1]) * ROOT_PX >= 48


def test_nothing_is_fetched_from_elsewhere() -> None:
    for path in (path for path in STATIC.iterdir() if path.suffix in (".css", ".js", ".svg")):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        for word in ("http:", "https:", "@import", "url(", "@font-face", "eval(", "innerHTML"):
            assert word not in text, (path.name, word)


def test_focus_is_visible_and_motion_can_be_turned_off() -> None:
    assert ":focus-visible" in CSS and "outline: none" not in CSS
    for path in STATIC.glob("*.css"):
        for place in re.finditer(r"(animation|transition):", path.read_text(encoding="utf-8")):
            before = path.read_text(encoding="utf-8")[: place.start()]
            assert "prefers-reduced-motion: no-preference" in before, path.name
