"""The `arena` command. Each module holds one group; commands import what they need when they run."""

from __future__ import annotations

import click

from arena.cli import backup, bracket, demo, event, init, match, plan, serve, verify


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
    bracket.bracket,
    match.match,
    backup.backup,
    backup.restore,
    demo.demo,
):
    main.add_command(command)
