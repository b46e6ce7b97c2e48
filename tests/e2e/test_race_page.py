"""The race in a real browser: forty curves on the stage and on a phone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arena.services.race import get_race, take_heartbeats
from tests.support.browser import PHONE, PROJECTOR, needs_chromium
from tests.support.evening import Evening
from tests.support.simulated_trainers import SimulatedTrainer, simulate

pytestmark = [pytest.mark.slow, needs_chromium]
PATIENCE = 60_000  # ms, on a machine with every core busy


class Racing:
    """An evening with forty runs, and the pages of its application in the browser, without a server between them."""

    def __init__(self, folder: Path, browser: Any) -> None:
        self.evening = Evening(folder).begin()
        self.browser = browser
        self.runs = simulate(40, begun_at=self.evening.now)
        for run in self.runs:
            self.send(run, range(20))

    def send(self, run: SimulatedTrainer, numbers: range) -> str:
        evening, body = self.evening, run.body(numbers, self.evening.now)
        draw = random.Random(run.run).randrange
        return take_heartbeats(evening.db, run.secret, body, draw=draw, now=evening.now).nickname

    def open(self, path: str, **screen: Any) -> Any:
        context = self.browser.new_context(**screen)
        client = self.evening.phone()

        def answer(route: Any) -> None:
            headers = {"If-None-Match": route.request.headers.get("if-none-match", "")}
            response = client.get(route.request.url.removeprefix("http://verses.test"), headers=headers)
            route.fulfill(status=response.status_code, headers=dict(response.headers), body=response.data)

        context.route("**/*", answer)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"http://verses.test{path}", timeout=PATIENCE)
        page.locator(".race .curve").nth(39).wait_for(state="attached")
        return page


@pytest.fixture(scope="module")
def racing(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Racing]:
    racing = Racing(tmp_path_factory.mktemp("race") / "event", browser)
    yield racing
    racing.evening.end()


BOXES = """[...document.querySelectorAll(".race .label")].map((label) => {
  const box = label.getBoundingClientRect();
  return [box.left, box.top, box.right, box.bottom];
})"""


@pytest.mark.parametrize("size", [(1920, 1080), (1024, 768), (2560, 1080)])
def test_on_a_stage_of_any_shape_no_label_lies_over_another_or_leaves_the_screen(
    racing: Racing, size: tuple[int, int]
) -> None:
    page = racing.open("/stage", viewport={"width": size[0], "height": size[1]})
    boxes = page.evaluate(BOXES)
    assert len(boxes) >= 4
    for index, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0 and top >= 0 and right <= size[0] and bottom <= size[1]
        for _, other_top, _, other_bottom in boxes[index + 1 :]:
            overlap = min(bottom, other_bottom) - max(top, other_top)
            assert overlap < 0.4 * (bottom - top), "lines of text overlap"
    best = get_race(racing.evening.db).curves[0].nickname
    assert page.locator(".race .label.first").text_content() == best
    assert page.locator(".race-sample p").count() == 2
    page.context.close()


def test_a_new_heartbeat_glows_without_loading_the_page_again_and_keeps_still_where_motion_is_reduced(
    racing: Racing,
) -> None:
    page = racing.open("/stage", **PROJECTOR, reduced_motion="reduce")
    page.evaluate("window.stays = true")
    racing.evening.now += 60
    racing.send(racing.runs[0], range(20, 24))
    page.wait_for_selector(".race .glow")
    assert page.evaluate("window.stays") and page.locator(".race .glow").count() == 1
    assert page.locator(".race .glow").evaluate("e => getComputedStyle(e).animationName") == "none"
    page.context.close()


def test_a_phone_follows_the_curve_that_was_tapped(racing: Racing) -> None:
    page = racing.open("/race", **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(".race-list li").count() == 40 and page.locator(".race .curve.own").count() == 0
    button = page.locator(".race-list button").nth(20)
    name = button.text_content()
    button.tap()
    assert page.locator(".race .label.own").text_content() == name
    page.reload(timeout=PATIENCE)
    page.wait_for_selector(".race .curve.own")
    assert page.locator(".race-list .own .name").text_content() == name, "the browser remembers it"
    page.goto(f"http://verses.test/race?again#{str(name).replace(' ', '-').lower()}", timeout=PATIENCE)
    page.wait_for_selector(".race .curve.own")
    page.context.close()
