"""Heartbeats: what a run tells the race of an event, from a thread for which training never waits.

Each one is also kept in the run's folder, so that a run without a network, or before its server, carries them along:
`trainer submit --to` sends what the event does not know. They hold nothing of any recipe.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.errors import EventRefused, TrainerError
from trainer.submission.event import fetch_event
from trainer.submission.http_client import Address, EventClient, Response
from trainer.verse import strictjson
from trainer.verse.recipe import MAX_SEED
from trainer.verse.text import sanitize

HEARTBEATS = "heartbeats.jsonl"  # in the run's folder
PATH = "/api/v1/heartbeats"
TIMEOUT = 3.0  # seconds without a byte from the network
EVERY = 3.0  # seconds between two heartbeats, at least
PAUSE = 1.5  # seconds between two requests: an event takes one a second
LONGEST_PAUSE = 30.0  # seconds between two tries while the event does not answer
LAST_SECONDS = 4.0  # that the end of a run waits for the last heartbeat to be sent
WAITING = 256  # heartbeats that wait to be sent; the latest stay
CARRIED = 512  # heartbeats of a run that are sent later
BATCH = 64  # of one request
SAMPLE_LINES, LINE_CHARACTERS = 2, 60
SAMPLE_NOTICE = (
    "With --sample, two lines that your model writes at each evaluation are shown to the room, under a nickname. They "
    "never come from the recipe of a verse that you submit."
)
AGAIN = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Target:
    """Where heartbeats are sent."""

    url: str  # of the event
    receipt_key: str  # which the event has proved to be its own
    secret: str  # the participant's


class Heartbeats:
    """The heartbeats of one run.

    Args:
        target: Where they are sent; None to keep them in the run's folder alone.
        with_samples: Send two lines that the model wrote.
        say: Called by the thread, with a line for people.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        target: Target | None,
        *,
        with_samples: bool = False,
        say: Callable[[str], None] = lambda line: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._target, self._with_samples, self._say, self._clock = target, with_samples, say, clock
        self._waiting: deque[dict[str, Any]] = deque(maxlen=WAITING)
        self._wake, self._ended = threading.Event(), threading.Event()
        self._beat_at = self._evaluated_at = 0.0
        self._thread: threading.Thread | None = None

    def start(self, folder: Path, checkpoint: Path) -> None:
        """Begin; called once the run's folder is there.

        Args:
            folder: The run's.
            checkpoint: The newest checkpoint of the run, written again and again.
        """
        sender = _Sender(folder / HEARTBEATS, checkpoint, self._target, self._say, self._clock)
        self._thread = threading.Thread(target=self._run, args=(sender,), name="heartbeats", daemon=True)
        self._thread.start()

    def beat(self, step: int, steps: int, seconds: float, bits: float | None, sample: Callable[[int], str]) -> None:
        """Take note of where the run is. It returns at once, whatever the network does.

        Args:
            step: Updates done.
            steps: Updates planned.
            seconds: Of training.
            bits: Validation loss in bits per character; None if it was not evaluated.
            sample: Writes a sample from a seed; called if samples are sent.
        """
        now = self._clock()
        before = self._beat_at if bits is None else self._evaluated_at
        if step < steps and 0 <= now - before < EVERY:
            return
        self._beat_at, self._evaluated_at = now, self._evaluated_at if bits is None else now
        # A fresh seed each time: what is shown is not what a recipe of the participant's writes.
        text = sample(secrets.randbelow(MAX_SEED + 1)) if self._with_samples and bits is not None else ""
        lines = [line[:LINE_CHARACTERS] for line in text.split("\n") if line.strip()][:SAMPLE_LINES]
        beat = {"at": now, "step": step, "steps": steps, "minutes": seconds / 60, "bits": bits}
        self._waiting.append(beat | {"sample": "\n".join(lines)})
        self._wake.set()

    def close(self) -> None:
        """End with the run; the last heartbeat has a few seconds."""
        self._ended.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(LAST_SECONDS if self._target is not None else 1.0)

    def _run(self, sender: _Sender) -> None:
        next_try = 0.0  # by the monotonic clock
        while not self._ended.is_set():
            self._wake.wait(max(0.0, next_try - time.monotonic()) if sender.unsent else None)
            self._wake.clear()
            self._keep(sender)
            if time.monotonic() >= next_try:
                next_try = time.monotonic() + sender.send()
        self._keep(sender)
        deadline = time.monotonic() + LAST_SECONDS
        while sender.unsent and time.monotonic() < deadline:
            time.sleep(min(PAUSE, max(0.0, next_try - time.monotonic())))
            next_try = time.monotonic() + sender.send()

    def _keep(self, sender: _Sender) -> None:
        while self._waiting:
            sender.keep(self._waiting.popleft())


class _Sender:
    """Keeps heartbeats in the run's folder, and sends them; used by one thread.

    Args:
        path: The file in the run's folder.
        checkpoint: The newest checkpoint of the run.
        target: Where they are sent; None for nowhere.
        say: Called with a line for people.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        path: Path,
        checkpoint: Path,
        target: Target | None,
        say: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self.path, self.checkpoint, self.target, self.say, self.clock = path, checkpoint, target, say, clock
        self.unsent: deque[dict[str, Any]] = deque(maxlen=WAITING)
        known = read_heartbeats(path.parent)
        self.run = known.run if known else secrets.token_hex(16)
        self.begun_at = known.begun_at if known else clock()
        self.step = known.beats[-1]["step"] if known and known.beats else -1
        self.digest: tuple[tuple[int, int], str] | None = None
        self.failures = 0
        self.is_proved = False  # the event proves its key before it gets the secret
        self.client = None if target is None else _client(target)
        self.nickname = ""
        if known is None:
            self._append({"run": self.run, "begun_at": self.begun_at})

    def keep(self, beat: dict[str, Any]) -> None:
        """Add the digest of the newest checkpoint to a heartbeat, and keep it; one of an earlier step is known."""
        if beat["step"] <= self.step:
            return
        self.step = beat["step"]
        beat = beat | {"checkpoint": self._digest()}
        self._append(beat)
        if self.target is not None:
            self.unsent.append(beat)

    def send(self) -> float:
        """Send what waits; return the seconds until the next try, 0 if there is nothing to send."""
        if self.client is None or self.target is None or not self.unsent:
            return 0.0
        try:
            if not self.is_proved:
                _prove(self.client, self.target)
                self.is_proved = True
            batch = [self.unsent[index] for index in range(min(BATCH, len(self.unsent)))]
            response = self.client.request_once("POST", PATH, _body(self.run, self.begun_at, self.clock(), batch))
        except EventRefused:
            return self._give_up()  # it is another event: the secret is not for it
        except TrainerError:
            self.is_proved = False  # another computer may answer at this address by then
            return self._postpone()
        if response.status in AGAIN:
            return self._postpone()
        if response.status != 200:
            return self._give_up()  # the race is off or over: the run goes on
        self.failures = 0
        for _ in batch:
            self.unsent.popleft()
        self._greet(response)
        return PAUSE

    def _postpone(self) -> float:
        self.failures += 1
        return min(LONGEST_PAUSE, PAUSE * 2.0 ** min(self.failures, 16))

    def _give_up(self) -> float:
        self.target = None
        self.unsent.clear()
        return 0.0

    def _greet(self, response: Response) -> None:
        nickname = response.data.get("nickname")
        if isinstance(nickname, str) and nickname != self.nickname and self.target is not None:
            self.nickname = nickname
            shown = sanitize(nickname, 40)
            link = f"{self.target.url}/race#{shown.replace(' ', '-').lower()}"
            self.say(f"In the race of the event you are “{shown}”: {link}")

    def _digest(self) -> str | None:
        """Return the SHA-256 of the newest checkpoint, computed once for each."""
        try:
            with self.checkpoint.open("rb") as file:
                stat = os.fstat(file.fileno())
                which = (stat.st_mtime_ns, stat.st_size)
                if self.digest is None or self.digest[0] != which:
                    self.digest = which, hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None
        return self.digest[1]

    def _append(self, line: dict[str, Any]) -> None:
        with suppress(OSError), self.path.open("ab") as file:  # a run does not end for want of heartbeats
            file.write(json.dumps(line, allow_nan=False).encode() + b"\n")


@dataclass(frozen=True)
class KeptRun:
    """The heartbeats in the folder of a run."""

    run: str  # id
    begun_at: float  # seconds since the epoch
    beats: list[dict[str, Any]]  # in the order of their steps


def read_heartbeats(folder: Path) -> KeptRun | None:
    """Read the heartbeats of a run; None if it has none, or they are damaged."""
    try:
        lines = [strictjson.parse(line) for line in (folder / HEARTBEATS).read_bytes().split(b"\n")[:-1]]
    except (OSError, ValueError):
        return None
    match lines:
        case [{"run": str(run), "begun_at": int() | float() as begun_at}, *beats]:
            if all(isinstance(beat, dict) and type(beat.get("step")) is int for beat in beats):
                return KeptRun(run, float(begun_at), beats)
    return None


def carry_heartbeats(
    folder: Path,
    client: EventClient,
    *,
    clock: Callable[[], float] = time.time,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Send the heartbeats of a run that the event does not know; it marks them as not seen live.

    Args:
        folder: The run's.
        client: Of the event, which has proved itself, with the participant's secret.
        clock: Seconds since the epoch.
        wait: Waits for so many seconds.

    Returns:
        How many were sent; 0 also if the race is over or shows a newer run, which is no error.
    """
    kept = read_heartbeats(folder) if folder.is_dir() else None
    if kept is None or not kept.beats:
        return 0
    step, sent, beats = -1, 0, kept.beats[:: -(-len(kept.beats) // CARRIED)]
    with suppress(TrainerError):
        for batch in [[], *(beats[start : start + BATCH] for start in range(0, len(beats), BATCH))]:
            new = [beat for beat in batch if beat["step"] > step]
            if batch and not new:
                continue
            response = client.request_once("POST", PATH, _body(kept.run, kept.begun_at, clock(), new))
            if response.status != 200 or type(response.data.get("step")) is not int:
                break
            step, sent = response.data["step"], sent + len(new)
            if beats[-1]["step"] <= step:
                break
            wait(PAUSE)
    return sent


def _body(run: str, begun_at: float, sent_at: float, beats: list[dict[str, Any]]) -> bytes:
    return json.dumps({"run": run, "begun_at": begun_at, "sent_at": sent_at, "beats": beats}, allow_nan=False).encode()


def _client(target: Target) -> EventClient:
    return EventClient(Address.parse(target.url), target.secret, timeout=TIMEOUT)


def _prove(client: EventClient, target: Target) -> None:
    """Let the event prove again that it is the one that the secret belongs to, without sending the secret.

    Raises:
        EventRefused: It is another one.
        UploadError: It does not answer.
    """
    with closing(EventClient(Address.parse(target.url), timeout=TIMEOUT)) as asking:
        if fetch_event(asking, once=True).receipt_key != target.receipt_key:
            raise EventRefused("another-event", "another event answers at this address")
