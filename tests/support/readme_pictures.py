"""Pictures of stage and phone for the README: `python -m tests.support.readme_pictures`.

An evening of forty verses, which the model that comes along writes, is played in a folder that is removed at the end.
"""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from arena.demo.entering import FOLIO_MODEL, FOLIO_TOKENS, length_options
from arena.demo.poets import LINES, TEMPERATURES, Poet, Verse, choose_verses
from arena.processes import python_command
from arena.services import bracket, drawing, events, race
from arena.services.queries import get_next_match, get_open_match
from arena.services.schemas import EventRules
from tests.support.browser import CHROMIUM, OPEN, PHONE, PROJECTOR, Window
from tests.support.evening import WORD, Evening
from tests.support.simulated_trainers import SimulatedTrainer
from trainer.checkpoint import read_checkpoint
from trainer.sampling import make_recipe
from trainer.submission.submit import make_submission

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / ".github" / "readme"
WIDTH, GAP = 720, 12  # of one scene, and between two, in pixels
VOTE = 4  # number of the scene that stands alone
READING = 15.0  # seconds
MATCH = 60.0  # seconds
VOTERS = 37
# fmt: off
NAMES = [
    "Ada", "Aiko", "Amara", "Anna", "Bela", "Bruno", "Chidi", "Clara", "Dara", "Elif",
    "Emil", "Farah", "Finn", "Greta", "Hugo", "Ines", "Ivan", "Jonas", "Kaya", "Leila",
    "Lena", "Luis", "Malik", "Mara", "Mila", "Nadia", "Nico", "Noor", "Olga", "Omar",
    "Pia", "Rafa", "Rosa", "Sami", "Selma", "Tariq", "Tove", "Uma", "Yara", "Zoe",
]
OPENINGS = [
    "The moon is up,", "O love, be kind,", "When winter comes,", "The sea is wide,", "My heart is sore,",
    "Good night, my lady,", "If I should sing,", "Farewell, sweet friend,", "The house is dark,", "Come, sit by me,",
    "I had a dream,", "The rain has come,", "Who knocks so late?", "Sleep, little king,", "The bell is old,",
    "My lord, my light,", "Bring me the wine,", "The road is long,", "What is a name?", "Let the dogs bark,",
]
# fmt: on


def verses(names: list[str]) -> dict[str, bytes]:
    """Bundles of different verses, one a name."""
    model = ROOT / "data" / FOLIO_MODEL
    words = ["--ckpt", str(model), "--count", "400", "--seed", "0", *length_options(model), "--json"]
    for opening in OPENINGS:
        words += ["--prompt", opening + "\n"]
    for temperature in TEMPERATURES:
        words += ["--temperature", temperature]
    command = python_command("trainer.cli:main", "audition", *words)
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    found = [
        Verse(
            model, v["prompt"], v["temperature"], v["seed"], v["text"], v["score"], v["words"], v["known"], v["lines"]
        )
        for v in json.loads(done.stdout)["verses"]
    ]
    poets = [Poet(name, OPENINGS[number % len(OPENINGS)] + "\n") for number, name in enumerate(names)]
    checkpoint = read_checkpoint(model)
    bundles = {}
    for poet, verse in choose_verses(found, poets).items():
        temperature = round(100 * float(verse.temperature))
        recipe = make_recipe(checkpoint, verse.prompt, temperature, verse.seed, 0, FOLIO_TOKENS, LINES)
        bundles[poet.name] = make_submission(checkpoint, recipe).data
    return bundles


def play(evening: Evening, show: Callable[..., None], phone: Callable[[], None]) -> None:
    """Play the evening, and show each scene.

    Args:
        evening: one with a folder, whose event is not made yet.
        show: takes a picture of the stage.
        phone: takes one of a phone.
    """
    rng = random.Random(1)
    evening.create(EventRules(reading_seconds=READING, match_seconds=MATCH))
    events.set_rules(evening.db, name="Poets of the lab", now=evening.now)
    evening.open()
    entries = {name: evening.enter(name, bundle) for name, bundle in verses(NAMES).items()}
    show()
    race.set_race(evening.db, True, now=evening.now)
    runs = [SimulatedTrainer(rng, rng.uniform(14, 20), True, begun_at=evening.now) for _ in range(40)]
    for minute in range(13):
        for run in runs:
            body = run.body(range(minute, minute + 1), evening.now)
            race.take_heartbeats(evening.db, run.secret, body, draw=rng.randrange, now=evening.now)
        evening.now += 60
    show(wait=1_500)
    race.set_race(evening.db, False, now=evening.now)
    evening.verify_all()
    evening.close()
    drawing.draw_bracket(evening.db, word=WORD, now=evening.now)
    show()
    number = 0
    while (match := get_next_match(evening.db, now=evening.now)) is not None:
        evening.now += 30
        bracket.open_match(evening.db, match.id, now=evening.now)
        if number == 0:
            evening.now += 0.3 * READING
            show(wait=1_000, motion=True)
            phone()
            evening.now += 0.7 * READING
        else:
            evening.now += READING
        opened = get_open_match(evening.db, now=evening.now)
        assert opened and opened.upper and opened.lower and opened.upper.text and opened.lower.text
        texts = [opened.upper.text, opened.lower.text]
        tied = number == 0
        for voter in range(VOTERS - tied if number in (0, 1) else 9):
            side = voter % 2 if tied else int(rng.random() < 0.4)
            evening.vote(f"voter {voter}", match.id, texts[side])
        if number == 0:
            evening.now += 8
            show()
            bracket.close_match(evening.db, match.id, poll_round=0, now=evening.now)
            evening.now += 1
            show()
            for voter in range(VOTERS):
                evening.vote(f"voter {voter}", match.id, texts[int(rng.random() < 0.45)])
        if number == 1:
            phone()
            evening.now += MATCH - 5
            show()
        bracket.close_match(evening.db, match.id, poll_round=int(tied), now=evening.now)
        evening.now += 5
        if number == 1:
            show()
            phone()
        following = get_next_match(evening.db, now=evening.now)
        if following is not None and following.id == "r4m1":
            evening.now += 60
            show()
        number += 1
    show()
    evening.now += 60
    show(wait=4_000, motion=True)
    phone()
    show(scheme="dark", wait=300)
    assert len(entries) == len(NAMES)


def save(name: str, pictures: list[Image.Image], columns: int) -> None:
    """Put pictures of one size beside and below each other, with few colours."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    size = columns * (width + GAP) - GAP, rows * (height + GAP) - GAP
    whole = Image.new("RGB", size, "#8a8275")
    for number, picture in enumerate(pictures):
        whole.paste(picture, ((width + GAP) * (number % columns), (height + GAP) * (number // columns)))
    few = whole.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    few.save(PICTURES / name, optimize=True)


def main() -> None:
    """Write the pictures."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        evening = Evening(Path(folder) / "event", public_url="http://192.168.7.7:8000")
        scenes: list[Image.Image] = []
        pages: list[Image.Image] = []

        def take(screen: dict[str, Any], path: str, scheme: str, wait: int, motion: bool) -> Image.Image:
            window = Window(browser, evening.phone(), screen, scheme, motion="no-preference" if motion else "reduce")
            page: Any = window.show(path)
            page.wait_for_timeout(wait)
            file = Path(folder) / "picture.png"
            page.screenshot(path=str(file))
            OPEN.pop().close()
            with Image.open(file) as picture:
                return picture.convert("RGB")

        def show(scheme: str = "light", wait: int = 300, motion: bool = False) -> None:
            scenes.append(take(PROJECTOR, "/stage", scheme, wait, motion))

        def phone() -> None:
            pages.append(take(PHONE, "/", "light", 300, False))

        play(evening, show, phone)
        evening.end()
        browser.close()
    half = [scene.resize((WIDTH, WIDTH * 9 // 16), Image.Resampling.LANCZOS) for scene in scenes]
    save("stage-scenes.png", half, 2)
    save("stage.png", [scenes[VOTE].resize((2 * WIDTH, 2 * WIDTH * 9 // 16), Image.Resampling.LANCZOS)], 1)
    save("phone-pages.png", pages, 4)


if __name__ == "__main__":
    main()
