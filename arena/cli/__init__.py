"""The `arena` command. Each module holds one group; commands import what they need when they run."""

from __future__ import annotations

import io
import sys
from typing import Any

import click

from arena.cli import (
    audit,
    backup,
    bracket,
    check_page,
    console_password,
    demo,
    doctor,
    entry,
    entry_check,
    event,
    export,
    heats,
    init,
    match,
    plan,
    race,
    rehearse,
    results,
    retrain,
    selftest,
    serve,
    tickets,
    verify,
)
from trainer.verse.text import sanitize_lines


class Commands(click.Group):
    """Commands whose output any terminal can show, and whose errors hold nothing that could steer it."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; a character that the terminal does not know is escaped, and ends nothing."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            vars(error)["message"] = sanitize_lines(error.message)
            raise


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="verse-arena", prog_name="arena")
def main() -> None:
    """Check verses offline, and run an event where an audience votes for the best verse.

    \b
    Examples:
      arena verify submissions/*.verse
      arena init
      arena serve
    """


for command in (
    verify.verify,
    selftest.selftest,
    check_page.check_page,
    audit.audit,
    export.export,
    init.init,
    doctor.doctor,
    plan.plan,
    serve.serve,
    serve.worker,
    console_password.console_password,
    event.event,
    tickets.tickets,
    entry.entry,
    retrain.retrain,
    race.race,
    heats.heats,
    bracket.bracket,
    match.match,
    results.results,
    backup.backup,
    backup.restore,
    rehearse.rehearse,
    demo.demo,
):
    main.add_command(command)
entry.entry.add_command(entry_check.check_entries)
