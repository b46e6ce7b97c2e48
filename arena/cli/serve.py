"""`arena serve` and `arena worker`: the processes of an event."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from arena.cli.options import folder_option, handle_errors, jobs_option, log_option


@click.command()
@click.option(
    "--lan",
    is_flag=False,
    flag_value="auto",
    metavar="[ADDRESS]",
    help="Accept phones of the local network. ADDRESS: this machine's address there, if it is not found automatically.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="The port to listen on; 0: any free port.  [default: from settings.json]",
)
@click.option("--public-url", default="", help="The address of a tunnel or proxy in front of this server.")
@click.option(
    "--console-port",
    type=click.IntRange(0, 65_535),
    help="The console's port on this machine; 0: any free port.  [default: from settings.json, or the next]",
)
@click.option(
    "--console-host",
    help="The address that the console listens on; in a container 0.0.0.0.  [default: from settings.json, 127.0.0.1]",
)
@jobs_option
@click.option(
    "--standby",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep a backup up to date in this folder, such as one on a memory stick, for `arena restore`.",
)
@click.option(
    "--wheels",
    type=click.Path(path_type=Path, file_okay=False),
    help="Offer the packages in this folder to guests, who install the trainer from here without the internet.",
)
@click.option("--console-remote", is_flag=True, help="Open the console to a proxy; needs an https address.")
@log_option
@folder_option
@handle_errors
def serve(
    folder: Path,
    lan: str | None,
    port: int | None,
    public_url: str,
    console_port: int | None,
    console_host: str | None,
    jobs: int | None,
    standby: Path | None,
    wheels: Path | None,
    console_remote: bool,
    log_format: str,
) -> None:
    """Serve the event until Ctrl-C.

    Phones, projector and console open its pages, and the entries are verified. Without --lan and --public-url, only
    this machine can open the pages. The console has a port of its own, on this machine only.

    \b
    Examples:
      arena serve
      arena serve --lan
      arena serve --lan --wheels wheels
      arena serve --public-url https://verses.example.org
    """
    from arena import logs
    from arena.server.network import with_address
    from arena.server.server import serve as run
    from arena.settings import load_settings, privacy_warning
    from trainer.verse.text import sanitize

    logs.choose(log_format)
    settings = with_address(
        load_settings(folder),
        lan=lan,
        port=port,
        public_url=public_url,
        console_host=console_host,
        console_port=console_port,
    )
    if wheels is not None:
        from arena.web.wheels import check_wheels

        check_wheels(wheels)
        settings = replace(settings, wheels=wheels.absolute())
    if warning := privacy_warning(settings):
        click.echo(sanitize(warning), err=True)
    run(
        settings,
        jobs=jobs,
        console_remote=console_remote,
        standby=standby,
        say=lambda line: click.echo(sanitize(line)),
    )


@click.command()
@jobs_option
@log_option
@folder_option
@handle_errors
def worker(folder: Path, jobs: int | None, log_format: str) -> None:
    """Verify waiting entries until Ctrl-C. It runs beside the server, which has a worker of its own.

    \b
    Example:
      arena worker --jobs 4
    """
    from arena import logs
    from arena.settings import load_settings
    from arena.worker import run_worker

    logs.choose(log_format)
    logs.configure()
    try:
        run_worker(load_settings(folder), jobs)
    except KeyboardInterrupt:
        click.echo("stopped; unfinished checks go to the next worker")
