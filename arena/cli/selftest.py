"""`arena selftest`: check this machine with a fixed set of models and verses."""

from __future__ import annotations

import sys

import click

from arena.cli.options import handle_errors
from trainer.verse.text import pluralize


@click.command()
@click.option("--short", is_flag=True, help="A part of it: some seconds.")
@handle_errors
def selftest(short: bool) -> None:
    """Check that this machine writes and judges verses as every other does: about a minute.

    It writes and checks a fixed set of verses: the small files of the format, honest models of both architectures, the
    model that comes along, and weights built to let rounding choose the verse, which must be UNDECIDED. No network is
    used. The last line can be compared with another machine's: digest first.

    The exit status is 0 if everything is as it should be, 1 if not.

    \b
    Examples:
      arena selftest
      arena selftest --short
    """
    from tqdm import tqdm

    from arena.verification.selftest import EXPECTED, ROUNDS, digest_of, items, machine

    rounds = 1 if short else ROUNDS
    outcomes, wrong = [], []
    with tqdm(unit="check", leave=False, disable=None) as bar:
        for outcome in items(rounds):
            outcomes.append(outcome)
            if not outcome.is_right:
                wrong.append(outcome)
                with bar.external_write_mode():
                    click.echo(f"{outcome.name}: {outcome.result}")
            bar.update()
    digest = digest_of(outcomes)
    if wrong:
        click.echo(
            f"{pluralize(len(wrong), 'check')} of {len(outcomes):,} went wrong: this machine must not judge verses"
        )
    elif digest != EXPECTED[rounds]:
        click.echo("no check went wrong, but this machine writes other verses than those that are known")
    else:
        click.echo(f"{len(outcomes):,} checks, and all are as on every machine that is known")
    click.echo(f"selftest {digest} {'short' if short else 'whole'}: {machine()}")
    sys.exit(bool(wrong) or digest != EXPECTED[rounds])
