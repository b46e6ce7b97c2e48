"""How good a model gets in how much time, beside nanoGPT's recipe for a CPU where a checkout of it is given.

Every run is a process, timed from start to exit: loading torch, training, evaluating the whole validation split at the
end, and whatever else it does. Ours is `trainer train --minutes M`, as anybody would start it, on the processor: its
evaluations on the way, samples and curve are in its time. For each seed the peer goes first, and ours gets fractions of
the time that it took just then, so that a machine that is slower for a while is slower for both. Then medians over the
seeds. Losses are of the last evaluation, not the best one, and come from one function, `trainer.loss.validation_loss`,
in windows of each model's own context. They are nats per character of the same text, since ours may read pieces of
words, and the peer reads characters; with TOKENIZER=char ours reads characters, too.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trainer.corpus import KNOWN_CORPORA, load_corpus
from trainer.errors import TrainerError
from trainer.metrics import TOKENS_PER_CHARACTER
from trainer.runtime.run import Run, read_config, read_metrics

TOKENIZER = os.environ.get("TOKENIZER")  # of ours; None: what `auto` picks
FIRST_SEED = 1337  # nanoGPT's own, and ours
FRACTIONS = (1 / 15, 0.1, 0.2, 0.5, 1.0)  # of the peer's time
BUDGETS = (6.0, 8.0, 10.0, 20.0, 50.0, 100.0)  # seconds, without a peer: about those of what it takes on two cores
GOAL = 1.898  # of the peer on Tiny Shakespeare, as measured when this was planned
LEAST_SECONDS = 3.0  # the trainer refuses less
PEER_FILES = ("train.py", "model.py", "configurator.py", "config/train_shakespeare_char.py")
PEER = "nanoGPT's recipe for a CPU"
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(100_000))"  # ends with the bench


@dataclass(frozen=True)
class Outcome:
    """What came of one run, or medians of several."""

    seconds: float  # from the process's start to its exit
    memory: float  # MiB, the most it had in memory at once; nan where the system does not say
    val_loss: float  # nats per character
    characters: float  # trained on

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, loss {self.val_loss:.3f}"


Outcomes = dict[str, list[Outcome]]  # by what was run; one a seed


def main() -> None:
    """Run what the environment asks for, then print the table; after Ctrl-C, of what is done."""
    corpus, peer = os.environ.get("CORPUS") or "folio", os.environ.get("NANOGPT")
    seeds, peer_steps = int(os.environ.get("SEEDS", "3")), int(os.environ.get("PEER_STEPS", "2000"))
    if peer and (missing := [name for name in PEER_FILES if not (Path(peer) / name).is_file()]):
        sys.exit(f"NANOGPT={peer} is no checkout of nanoGPT: it has no {missing[0]}")
    try:
        text = load_corpus(corpus)
        print(f"{text.name}, seeds: {seeds}; with three, a quarter of an hour\n", flush=True)
    except TrainerError as error:
        sys.exit(f"CORPUS: {error}")
    outcomes: Outcomes = {}
    try:
        with tempfile.TemporaryDirectory() as folder, _busy_process():
            for seed in range(FIRST_SEED, FIRST_SEED + seeds):
                _measure(outcomes, corpus, seed, Path(peer) if peer else None, peer_steps, Path(folder) / str(seed))
    except KeyboardInterrupt:
        sys.exit("stopped: the table is of what was done")
    finally:
        _report(outcomes, text.sha256 == KNOWN_CORPORA["shakespeare"].sha256)


@contextmanager
def _busy_process() -> Iterator[None]:
    """Keep one core busy meanwhile, if BUSY=1 asks for it."""
    if os.environ.get("BUSY") != "1":
        yield
        return
    print("beside one busy process\n", flush=True)
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _measure(outcomes: Outcomes, corpus: str, seed: int, peer: Path | None, peer_steps: int, folder: Path) -> None:
    """All runs of one seed, in `folder`."""
    folder.mkdir()
    budgets = {f"ours, {seconds:g} s": seconds for seconds in BUDGETS}
    if peer:
        theirs = _keep(outcomes, seed, PEER, _peer(peer, corpus, seed, peer_steps, folder))
        budgets = {f"ours, {part:.2g} of its time": part * theirs.seconds for part in FRACTIONS}
    for what, seconds in budgets.items():
        if seconds >= LEAST_SECONDS:
            _keep(outcomes, seed, what, _ours(corpus, seed, seconds, folder))


def _keep(outcomes: Outcomes, seed: int, what: str, outcome: Outcome) -> Outcome:
    outcomes.setdefault(what, []).append(outcome)
    print(f"seed {seed}, {what}: {outcome}", flush=True)
    return outcome


def _ours(corpus: str, seed: int, seconds: float, folder: Path) -> Outcome:
    """Train for so many seconds, on the peer's device, else with what `auto` picks."""
    run = Run(folder / f"ours-{seconds:g}")
    options = ["--corpus", corpus, "--minutes", f"{seconds / 60:.6f}", "--seed", str(seed), "--out", str(run.path)]
    options += ["--device", "cpu", *(("--tokenizer", TOKENIZER) if TOKENIZER else ())]
    command = [sys.executable, "-c", "from trainer.cli import main; main()", "train", *options]
    wall, memory = _timed(command, folder / "log")
    config, record = read_config(run)
    last, ratio = read_metrics(run)[-1], record[TOKENS_PER_CHARACTER]
    tokens = last["step"] * config.batch_size * config.block_size
    return Outcome(wall, memory, last["val_loss"] * ratio, tokens / ratio)


def _peer(nanogpt: Path, corpus: str, seed: int, steps: int, folder: Path) -> Outcome:
    """Train as its README says."""
    script, result = Path(__file__).with_name("peer_nanogpt.py"), folder / "result.json"
    command = [sys.executable, script, nanogpt.resolve(), corpus, seed, steps, result]
    wall, memory = _timed(list(map(str, command)), folder / "log")
    return Outcome(wall, memory, **json.loads(result.read_text()))


def _timed(command: list[str], log: Path) -> tuple[float, float]:
    """Run it to its end: seconds and MiB."""
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            memory = _wait(process)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
        seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    return seconds, memory


def _wait(process: subprocess.Popen[bytes]) -> float:
    """Wait for its end; the most MiB it held at once, where the system keeps count."""
    if not hasattr(os, "wait4"):  # Windows
        process.wait()
        return float("nan")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _median(outcomes: list[Outcome]) -> Outcome:
    rows = [(each.seconds, each.memory, each.val_loss, each.characters) for each in outcomes]
    return Outcome(*map(statistics.median, zip(*rows, strict=True)))


def _report(outcomes: Outcomes, shakespeare: bool) -> None:
    """The table, and what it comes to.

    Args:
        shakespeare: the text is the one that goals are for.
    """
    if not outcomes:
        return
    medians = {what: _median(each) for what, each in outcomes.items()}
    theirs = medians.get(PEER)
    print("\n| median | time | loss per character | lowest to highest | characters/s, all time counted | peak memory |")
    print("|---|---|---|---|---|---|")
    for what, one in medians.items():
        losses = [each.val_loss for each in outcomes[what]]
        ratio = f" ({one.seconds / theirs.seconds:.2f})" if theirs else ""
        print(
            f"| {what} | {one.seconds:.1f} s{ratio} | {one.val_loss:.3f} | {min(losses):.3f} to {max(losses):.3f} "
            f"| {one.characters / one.seconds:,.0f} | {one.memory:.0f} MiB |"
        )
    ours = sorted((one for what, one in medians.items() if what != PEER), key=lambda one: one.seconds)
    if not ours:
        return
    print()
    goals = {"the goal": GOAL} if shakespeare else {}
    if theirs:
        print(f"nanoGPT takes {theirs.seconds:.1f} s to a loss of {theirs.val_loss:.3f}.")
        goals["nanoGPT's loss"] = theirs.val_loss
    for name, goal in goals.items():
        first = next((one for one in ours if one.val_loss <= goal), None)
        if first is None:
            print(f"Ours never got to {name}, {goal:.3f}.")
        else:
            ratio = f": {theirs.seconds / first.seconds:.1f} times as fast (reach: 15 times)" if theirs else ""
            print(f"Ours is at {name}, {goal:.3f}, after {first.seconds:.1f} s, or before{ratio}.")
    if theirs:
        last = ours[-1]
        print(
            f"After {last.seconds:.1f} s ours is at {last.val_loss:.3f}, nanoGPT after {theirs.seconds:.1f} s at "
            f"{theirs.val_loss:.3f} (reach on Tiny Shakespeare: 1.50). Memory: {last.memory / theirs.memory:.2f} of "
            "its."
        )
