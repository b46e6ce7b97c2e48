"""A served event with everything real, a poet whose bundles take several pieces, and a wire that can be cut."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from arena.bootstrap import make_event, open_event
from arena.services import events
from arena.settings import load_settings
from tests.support.bundles import VOCABULARY
from tests.support.server import ARENA, Process, within
from trainer.verse.bundle import pack
from trainer.verse.config import ModelConfig
from trainer.verse.generate import regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.recipe import Recipe
from trainer.verse.text import verse_text

START_WITHIN = 60.0  # seconds; a cold machine with every core busy
CONFIG = ModelConfig("modern", n_layer=2, n_head=2, n_embd=256, block_size=32, vocab_size=VOCABULARY.size)


@cache
def large_verse(number: int) -> bytes:
    """A bundle of some 3 MB: a claim and several pieces. Each number is another verse."""
    rng = np.random.default_rng(1)
    shapes = CONFIG.tensor_shapes()
    weights = {name: rng.normal(1.0 if len(shape) == 1 else 0.0, 0.1, shape) for name, shape in shapes.items()}
    rounded = round_weights(CONFIG, weights)
    model = VerseModel(CONFIG, rounded)
    for seed in range(1_000 * number, 1_000 * (number + 1)):
        recipe = Recipe(prompt_ids=(0,), temperature=80, top_k=0, seed=seed, tokens=24, lines=8)
        [written] = regenerate(model, VOCABULARY, [recipe])
        if written.decided and verse_text(VOCABULARY, recipe, written.ids).strip():
            return pack(CONFIG, VOCABULARY, rounded, written, {})
    raise AssertionError("no seed writes a verse")


class House:
    """An event folder, and `arena serve` on it, which can be killed and started again at the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_event(folder, name="Poets of the lab", draw_word="thimble", now=time.time())
        self.settings = load_settings(folder)
        self.event = open_event(replace(self.settings, min_free_bytes=0))
        self.port = 0
        self.process: Process | None = None

    @property
    def db(self) -> Any:
        return self.event.db

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        events.open_submissions(self.db, now=time.time())

    def close(self) -> None:
        events.close_submissions(self.db, now=time.time())

    def serve(self) -> None:
        self.process = Process([*ARENA, "serve", "--dir", str(self.folder), "--port", str(self.port)])
        assert within(START_WITHIN, lambda: self.process.said("Ctrl-C ends it")), self.process.lines
        said = self.process.said("phones ")
        assert said is not None
        self.port = int(said.rstrip("/").rpartition(":")[2])

    def end(self) -> None:
        if self.process is not None:
            self.process.end()
        self.event.db.dispose()


class Wires:
    """Stands between a client and a server; cuts each connection after so many bytes, as often as told."""

    def __init__(self, port: int, after: int, times: int) -> None:
        self._port, self._after = port, after
        self.left = times
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            for one, other, cut in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._carry, args=(one, other, cut), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, cut: bool) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
                carried += len(data)
                if cut and carried > self._after and self.left > 0:
                    self.left -= 1
                    break
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


def environment(config: Path) -> dict[str, str]:
    """This process's, with a config folder of a test's own."""
    return {**os.environ, "XDG_CONFIG_HOME": str(config)}
