"""`arena retrain`: trains the model of an entry again, and compares."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arena.cli.options import confirm, with_event, yes_option
from arena.cli.text import comparison_lines, echo_lines, first_line, minutes_text, printable, short_id

if TYPE_CHECKING:
    from arena.bootstrap import EventContext


@click.command("retrain")
@click.argument("prefix", metavar="ENTRY")
@click.option(
    "--corpus",
    "texts",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE",
    help="The text of the training, if it is none that comes along; all of its files, or their folder.",
)
@yes_option
@with_event
def retrain(ctx: EventContext, prefix: str, texts: tuple[Path, ...], yes: bool) -> None:
    """Train the model of a verified entry again, as its record says, and compare. This is advice.

    Compared are who it says it was trained for, the losses on the way, the loss on held-out text, the surprisal of the
    verse, and the weights: bit for bit on the same kind of processor with the same versions. The console shows the
    result beside the entry's checks; no entry is refused for it.

    It takes as long as the training took, at the lowest priority, so that it can run while matches do; Ctrl-C ends it.
    If it takes more than ten minutes, you are asked first. It needs PyTorch. ENTRY is the beginning of an entry's id.

    \b
    Examples:
      arena retrain 3f9a01c2
      arena retrain 3f9a01c2 --corpus sonnets.txt --yes
    """
    from arena.services import advice, queries
    from arena.verification.retraining import retrain as train_again
    from trainer.checks.retraining import compare_event
    from trainer.verse.bundle_file import read_claim

    everybody, nonce = advice.verified_bundles(ctx.db, ctx.bundles)
    [one] = advice.choose(everybody, [queries.find_entry(ctx.db, prefix)])
    click.echo(f"entry {short_id(one.entry)}: {printable(first_line(one.poem))}")
    began = time.monotonic()
    done = train_again(Path(one.path), texts, yes=yes)
    if done.comparisons is None:
        confirm(f"Training it again takes about {minutes_text(done.seconds or 0.0)} here. Train it?", yes=yes)
        done = train_again(Path(one.path), texts, yes=True)
    event = compare_event(read_claim(Path(one.path)).provenance, nonce, one.owner)
    comparisons = [event, *(done.comparisons or [])]
    is_current = advice.record_retraining(ctx.db, one, comparisons, now=ctx.clock())
    echo_lines(comparison_lines([advice.retraining_view(comparison) for comparison in comparisons]))
    kept = "the console shows this" if is_current else "the entry has another bundle meanwhile: this is not kept"
    click.echo(f"after {minutes_text(time.monotonic() - began)}; {kept}; no entry was disqualified")
