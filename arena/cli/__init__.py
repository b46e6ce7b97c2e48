"""The `arena` command. Each module holds one group; commands import what they need when they run."""

from __future__ import annotations

from typing import Any

import click

from arena.cli import (
    audit,
    backup,
    bracket,
    demo,
    doctor,
    entry,
    event,
    export,
    heats,
    init,
    match,
    plan,
    rehearse,
    results,
    serve,
    tickets,
    verify,
)
from trainer.verse.text import sanitize_lines


class Commands(click.Group):
    """Commands whose errors name files and words without what could steer a terminal."""

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
    audit.audit,
    export.export,
    init.init,
    doctor.doctor,
    plan.plan,
    serve.serve,
    serve.worker,
    event.event,
    tickets.tickets,
    entry.entry,
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
