"""Makes the demo's entries with the `trainer` command: trains a model, holds auditions, submits what was chosen."""

from __future__ import annotations

import importlib.resources
import json
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from arena.demo.children import Children, DemoError
from arena.demo.poets import LINES, POETS, TEMPERATURES, TOKENS, Poet, Verse, choose_verses
from arena.processes import CODE_FOLDER, python_command
from trainer.verse.identity import new_secret
from trainer.verse.text import sanitize

TRAINER = "trainer.cli:main"
FOLIO_MODEL = "folio.verse"  # a model that was trained on the folio; data/README.md says how
ARCHITECTURES = ("modern", "gpt2")
TICKETS = "tickets"  # in the event folder: the secret of each poet
BEST = "best.safetensors"  # of a run
TRAINING_SHARE = 0.75  # of the minutes; the audition takes the rest
LAST_HEARTBEAT_MINUTES = 2 / 60  # that a training waits at its end, until its last heartbeat is sent
MIN_MINUTES = 0.1  # of a training
TWO_MODELS_MINUTES = 4.0  # from which there is time for a second model
VERSES_PER_POET = 24  # of the audition, after training: more make the choice better, and take longer
FOLIO_VERSES_PER_POET = 8  # without training: a better model needs fewer, and nobody waits for a minute
SEED_STEP = 1_000  # between the seeds of two auditions
FIRST_LINE_CHARACTERS = 60  # shown of a verse
FOLIO_TOKENS = 200  # of a verse by the model that comes along, which reads characters: four lines have about 160


def make_tickets(folder: Path) -> None:
    """Give each poet a secret of the own, in a file that only the user of this machine can read."""
    (folder / TICKETS).mkdir(mode=0o700)
    for poet in POETS:
        with os.fdopen(os.open(folder / TICKETS / poet.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(new_secret())


def train_models(
    folder: Path,
    minutes: float,
    steps: int | None,
    children: Children,
    say: Callable[[str], None],
    event: str | None = None,
    waited: float = 0.0,
) -> list[Path]:
    """Train one model, or two if there is time for both. People see the trainer's progress.

    Args:
        folder: of the event.
        minutes: for training and audition.
        steps: of the training, instead of minutes.
        children: starts the trainer.
        say: prints a line.
        event: address of the event, whose race shows the training; None to train for none.
        waited: minutes for it that are over.

    Returns:
        The best checkpoint of each run: without the folder, no other poet's secret sends its race again.

    Raises:
        DemoError: A run failed.
    """
    archs = ARCHITECTURES if steps is None and minutes >= TWO_MODELS_MINUTES else ARCHITECTURES[:1]
    run_minutes = max(MIN_MINUTES, (TRAINING_SHARE * minutes - waited) / len(archs))
    if event:
        run_minutes = max(MIN_MINUTES, run_minutes - LAST_HEARTBEAT_MINUTES)
    length = ["--steps", str(steps)] if steps else ["--minutes", f"{run_minutes:.4g}"]
    models = []
    for number, arch in enumerate(archs):
        run = folder / "runs" / arch
        say(
            f"Training a model of the architecture {arch}: {f'{steps} steps' if steps else f'{60 * run_minutes:.0f} s'}"
        )
        command = python_command(TRAINER, "train", "--arch", arch, *length, "--out", str(run))
        poet = POETS[number * (len(POETS) // 2)]  # the first of those who choose from this model
        joining = ["--event", event, "--ticket-file", str(folder / TICKETS / poet.name), "--sample"] if event else []
        status = children.start([*command, *joining], stdin=subprocess.DEVNULL).wait()
        if status and joining and not run.exists():  # the event did not answer: the demo does not depend on its race
            status = children.start(command, stdin=subprocess.DEVNULL).wait()
        if status:
            raise DemoError(
                f"the training ended with status {status}: its messages are above. arena demo --no-train needs none"
            )
        models.append(run / BEST)
    return models


def find_folio_model() -> Path:
    """Find the model that comes along, in the wheel or in the checkout.

    Raises:
        DemoError: It is missing.
    """
    for folder in (Path(str(importlib.resources.files("trainer"))), Path(CODE_FOLDER)):
        path = folder / "data" / FOLIO_MODEL
        if path.is_file():
            return path
    raise DemoError(f"data/{FOLIO_MODEL} is missing from this installation: leave out --no-train to train a model")


def hold_auditions(
    models: list[Path], verses_per_poet: int, children: Children, pool: ThreadPoolExecutor
) -> dict[Poet, Verse]:
    """Hold two auditions at the same time, each for half of the poets, and let each poet choose a verse.

    Args:
        models: checkpoints or bundles; with two, each half of the poets has its own.
        verses_per_poet: to choose from.
        children: starts the trainer.
        pool: runs the auditions.

    Returns:
        The verse of each poet.

    Raises:
        DemoError: An audition failed, or there are too few different verses for a match.
    """
    half = len(POETS) // 2
    first = pool.submit(_audition, models[0], POETS[:half], verses_per_poet, 0, children)
    second = pool.submit(_audition, models[-1], POETS[half:], verses_per_poet, SEED_STEP, children)
    chosen = choose_verses(first.result() + second.result())
    if len(chosen) < 2:
        raise DemoError("the model writes too few different verses: give it more --minutes or --steps")
    return chosen


def _audition(model: Path, poets: tuple[Poet, ...], verses_per_poet: int, seed: int, children: Children) -> list[Verse]:
    """Write many verses for each poet's prompt with `trainer audition`.

    Args:
        model: a checkpoint or a bundle.
        poets: whose prompts are continued.
        verses_per_poet: to write.
        seed: the first one.
        children: starts the trainer.

    Raises:
        DemoError: It failed.
    """
    words = ["--ckpt", str(model), "--count", str(verses_per_poet * len(poets)), "--seed", str(seed)]
    words += [*length_options(model), "--json"]
    for poet in poets:
        words += ["--prompt", poet.prompt]
    for temperature in TEMPERATURES:
        words += ["--temperature", temperature]
    done = children.run(python_command(TRAINER, "audition", *words))
    if done.returncode:
        raise DemoError(f"the audition failed: {_last_line(done.stderr)}")
    return [
        Verse(
            model=model,
            prompt=verse["prompt"],
            temperature=verse["temperature"],
            seed=verse["seed"],
            text=verse["text"],
            score=verse["score"],
            words=verse["words"],
            known=verse["known"] or 0,
            lines=verse["lines"],
        )
        for verse in json.loads(done.stdout)["verses"]
    ]


def submit_all(
    folder: Path,
    url: str,
    chosen: dict[Poet, Verse],
    children: Children,
    pool: ThreadPoolExecutor,
    say: Callable[[str], None],
) -> None:
    """Submit the verses of all poets, several at the same time, each with the own secret.

    Args:
        folder: of the event.
        url: its address.
        chosen: the verse of each poet.
        children: starts the trainer.
        pool: runs the submissions.
        say: prints a line.

    Raises:
        DemoError: A verse could not be submitted.
    """
    (folder / "verses").mkdir(mode=0o700)

    def submit(poet: Poet) -> None:
        verse = chosen[poet]
        options = {
            "--ckpt": str(verse.model),
            "--prompt": verse.prompt,
            "--temperature": verse.temperature,
            "--seed": str(verse.seed),
            "--out": str(folder / "verses" / f"{poet.name}.verse"),
            "--to": url,
            "--name": poet.name,
            "--ticket-file": str(folder / TICKETS / poet.name),
        }
        words = [word for option in options.items() for word in option] + length_options(verse.model)
        done = children.run(python_command(TRAINER, "submit", *words, "--no-wait"))
        if done.returncode:
            raise DemoError(f"{poet.name} could not submit a verse: {_last_line(done.stderr)}")

    for poet, _ in zip(chosen, pool.map(submit, chosen), strict=True):
        say(f"{poet.name} has entered: {sanitize(chosen[poet].first_line[:FIRST_LINE_CHARACTERS])}")


def length_options(model: Path) -> list[str]:
    """Return the options that limit a verse, for audition and submit alike."""
    tokens = FOLIO_TOKENS if model.name == FOLIO_MODEL else TOKENS
    return ["--lines", str(LINES), "--tokens", str(tokens)]


def _last_line(messages: str) -> str:
    return sanitize((messages.strip().splitlines() or ["no message"])[-1])
