"""The QR code of every stage scene is read from six screen widths away, in the light and in the dark."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arena.services.bracket import open_match
from arena.services.disqualification import disqualify
from arena.services.queries import get_next_match
from arena.web.stage import REVEAL_SECONDS
from tests.e2e.test_looks import show
from tests.support.browser import PROJECTOR, needs_chromium
from tests.support.evening import Evening

pytestmark = [pytest.mark.slow, needs_chromium]
camera = pytest.importorskip("tests.support.camera", reason="pillow is not installed")
pytest.importorskip("zxingcpp", reason="zxing-cpp is not installed")
ADDRESSES = ("http://192.168.178.123:8000", "https://verses-of-the-laboratory.example.org")
PHOTOGRAPHS = 4  # of each scene


def scenes(evening: Evening) -> Iterator[str]:
    """Lead an event from scene to scene."""
    yield "before"
    authors = evening.authors(4)
    yield "entering"
    evening.verify_all()
    evening.close_and_draw()
    yield "bracket"
    while (match := get_next_match(evening.db, now=evening.now)) is not None and match.upper is not None:
        if match.kind == "final":
            open_match(evening.db, match.id, now=evening.now)
            yield "vote"
            evening.now += 1
        winner = next(author for author in authors if author.entry == match.upper.entry)
        evening.decide(match.id, winner.text, voters=1)
        if match.kind == "final":
            yield "reveal"
    evening.now += REVEAL_SECONDS + 1
    yield "champion"
    for author in authors:
        disqualify(evening.db, author.entry, "copied", now=evening.now)
    yield "end"


def test_the_camera_s_model_is_a_screen_of_527_pixels() -> None:
    assert math.floor(camera.screen_pixels()) == 527


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_code_of_every_scene_is_read_from_the_last_row(
    browser: Any, tmp_path: Path, scheme: str, address: str
) -> None:
    evening = Evening(tmp_path / "event", public_url=address).create()
    for scene in scenes(evening):
        page = show(browser, evening, "/stage", PROJECTOR, color_scheme=scheme)
        picture = page.screenshot()
        box = page.locator(".join .qr").bounding_box()
        assert box["height"] >= 0.17 * PROJECTOR["viewport"]["height"] and box["y"] + box["height"] <= 1080, scene
        assert page.locator(".address").inner_text() == address.partition("://")[2], scene
        for number in range(PHOTOGRAPHS):
            codes = camera.read_codes(camera.photograph(picture, number))  # the log's may be among them
            assert address.upper() in codes, (scene, number)
        page.context.close()
    evening.end()


def test_a_code_half_as_large_is_not_read() -> None:
    """So that the test above can fail."""
    import io

    import segno
    from PIL import Image

    code, screen = io.BytesIO(), io.BytesIO()
    segno.make(ADDRESSES[0]).save(code, kind="png", scale=20, border=4)
    small = Image.open(code).convert("L").resize((90, 90))
    whole = Image.new("L", (1920, 1080), 255)
    whole.paste(small, (100, 900))
    whole.save(screen, "PNG")
    assert camera.read_codes(camera.photograph(screen.getvalue(), 1)) == []
