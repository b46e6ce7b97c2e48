"""The `arena` command. Each module holds one group; commands import what they need when they run."""

from __future__ import annotations

from typing import Any

import click

from arena.cli import backup, bracket, demo, entry, event, init, match, plan, rehearse, serve, verify
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
    init.init,
    plan.plan,
    serve.serve,
    serve.worker,
    event.event,
    entry.entry,
    bracket.bracket,
    match.match,
    backup.backup,
    backup.restore,
    rehearse.rehearse,
    demo.demo,
):
    main.add_command(command)
