"""Checks of an entry that no verdict follows from, each entry in a watched child process (`trainer.checks`)."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arena.processes import end_with_parent, python_command
from arena.verification.child import SIZE_BYTES
from arena.verification.report import failed
from arena.verification.runner import CHILD_FLAGS, claim_limits, report_of
from arena.verification.sandbox import Limits, run_watched
from trainer.checks.limits import LIMITS, Finding, not_checkable
from trainer.verse.bundle_file import read_claim
from trainer.verse.errors import BundleError

CHILD = "arena.verification.advice:main"
MEMORY = 2**29  # bytes beside the model: Python, NumPy and the verses of other seeds
TEXT_MEMORY = 200  # bytes for each byte of a text, while its passages are sorted
SECONDS = 300.0  # beside the time of a check by `child`
TIMES_SECONDS = 50.0  # of a check by `child`: the verses of other seeds, and held-out text


@dataclass(frozen=True)
class CheckedBundle:
    """An entry whose verse is verified, as it was when its checks began."""

    entry: str  # id
    owner: str  # id
    poem: str  # prompt and verse
    bundle: str  # SHA-256 of the file
    path: str  # absolute


@dataclass(frozen=True)
class Texts:
    """Files of texts: absolute paths by name."""

    corpora: tuple[tuple[str, str], ...] = ()  # of which an entry may name one
    poems: tuple[tuple[str, str], ...] = ()  # known ones
    held_out: tuple[tuple[str, str], ...] = ()  # one that nobody else has, or none

    @property
    def files(self) -> tuple[tuple[str, str], ...]:
        """All of them."""
        return (*self.corpora, *self.poems, *self.held_out)


def check(one: CheckedBundle, others: Sequence[CheckedBundle], texts: Texts, nonce: str | None) -> list[Finding]:
    """Make all checks of one entry. What this machine cannot do is not checkable, for a reason that is said.

    Args:
        one: The entry.
        others: Entries that were claimed before it: who copies comes later.
        texts: What it may be made of.
        nonce: Of the event; None before it has started.
    """
    order = {
        "one": asdict(one),
        "others": [asdict(other) for other in others if other.owner != one.owner],
        "texts": asdict(texts),
        "nonce": nonce,
    }
    try:
        claim = read_claim(Path(one.path))
        size = sum(Path(path).stat().st_size for _, path in texts.files)
        cost = claim_limits(claim)
        limits = Limits(
            memory=2 * cost.memory + 4 * claim.size + MEMORY + TEXT_MEMORY * size,
            seconds=SECONDS + TIMES_SECONDS * cost.seconds,
        )
        data = json.dumps(order).encode()
        command = python_command(CHILD, flags=CHILD_FLAGS)
        ending = run_watched(command, limits, None, (len(data).to_bytes(SIZE_BYTES) + data, io.BytesIO()))
    except BundleError as error:
        return _none(str(error))
    except OSError as error:
        return _none(f"{error.filename or 'a process'}: {error.strerror}")
    if ending.how != "exited" or ending.status:
        report = report_of(ending, limits) if ending.how != "exited" else failed("crash", "its process ended early")
        return _none(report.reason or "")
    return [Finding(**finding) for finding in json.loads(ending.output)]


def _none(why: str) -> list[Finding]:
    return [not_checkable(name, why) for name in LIMITS]


def main() -> None:
    """Check the entry that the order in standard input describes, and print the findings as JSON."""
    size = int.from_bytes(sys.stdin.buffer.read(SIZE_BYTES))
    order = json.loads(sys.stdin.buffer.read(size))
    end_with_parent()
    sys.stdout.write(json.dumps([asdict(finding) for finding in _make(order)]))
    sys.stdout.flush()


def _make(order: dict[str, Any]) -> list[Finding]:
    from functools import partial

    from trainer.checks.entry import Evidence, OtherEntry, check_entry
    from trainer.checks.texts import read_text, reference_bundle
    from trainer.verse.bundle import read_bundle

    one = CheckedBundle(**order["one"])
    others = [CheckedBundle(**other) for other in order["others"]]
    texts = {kind: tuple(read_text(name, Path(path)) for name, path in files) for kind, files in order["texts"].items()}
    reference = reference_bundle()
    evidence = Evidence(
        corpora=texts["corpora"],
        poems=texts["poems"],
        nonce=order["nonce"],
        held_out=texts["held_out"][0] if texts["held_out"] else None,
        reference=read_bundle(reference) if reference else None,
        others=tuple(
            OtherEntry(
                other.entry,
                other.owner,
                other.poem,
                read_claim=partial(read_claim, Path(other.path)),
                read=partial(read_bundle, Path(other.path)),
            )
            for other in others
        ),
    )
    return check_entry(read_bundle(Path(one.path)), one.owner, evidence)
