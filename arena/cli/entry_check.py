"""`arena entry check`: advice about where the models of verified entries come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from arena.cli.options import with_event
from arena.cli.text import advice_lines, echo_lines, first_line, printable, short_id
from trainer.verse.text import pluralize

if TYPE_CHECKING:
    from arena.bootstrap import EventContext


@click.command("check")
@click.argument("prefixes", metavar="[ENTRY]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Check all verified entries.")
@click.option(
    "--corpus",
    "corpora",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A text that entries may have been trained on, beside those that come along. Give it several times for more.",
)
@click.option(
    "--poems",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder of known poems, .txt in UTF-8, that no verse should quote.",
)
@click.option(
    "--held-out",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A text like the corpus that nobody else has.  [default: the last tenth of the corpus]",
)
@click.option("--brief", is_flag=True, help="Show only what to look at.")
@with_event
def check_entries(
    ctx: EventContext,
    prefixes: tuple[str, ...],
    every: bool,
    corpora: tuple[Path, ...],
    poems: Path | None,
    held_out: Path | None,
    brief: bool,
) -> None:
    """Check where the models of verified entries come from. This is advice.

    No entry is refused, unless settings.json says so: with "refuse_checks": "copy verse", entries that those checks
    notice are disqualified.

    Each check gives a number, what it may be, and how many honest runs were beyond that when it was measured. The
    console shows the latest advice. What it cannot tell, for example without the text that a model was trained on, is
    "not checkable". ENTRY is the beginning of an entry's id. A check takes some seconds for each entry.

    \b
    start       cosine of the weights with the initial ones of this event and author
    origin      cosine of the weights with the initial ones of other authors' earlier entries
    copy        cosine with the weights of other authors' earlier entries
    verse       longest passage that is also in another author's earlier verse
    corpus      bits a character on text that training does not read
    surprise    surprisal of the verse, beside what other seeds write
    recitation  how much of the verse follows from its first 20 characters
    reference   surprisal of the verse, beside that of a model which cannot know it
    quotation   longest passage that is also in the corpus or in a known poem
    prompt      share of the poem that the prompt is, or that repeats it
    tokenizer   tokens that the corpus would not have given

    \b
    Examples:
      arena entry check --all
      arena entry check 3f9a01c2 --corpus sonnets.txt --poems known-poems
    """
    from tqdm import tqdm

    from arena.services import advice, disqualification, queries
    from arena.verification.advice import Texts
    from arena.verification.advice import check as check_one
    from trainer.checks.texts import included_corpora

    if bool(prefixes) == every:
        raise click.UsageError("name entries, or say --all")
    everybody, nonce = advice.verified_bundles(ctx.db, ctx.bundles)
    chosen = everybody
    if prefixes:
        chosen = advice.choose(everybody, [queries.find_entry(ctx.db, prefix) for prefix in prefixes])
    if not chosen:
        click.echo("no entry is verified yet")
        return
    named = [*included_corpora(), *((path.name, path.absolute()) for path in corpora)]
    known = sorted(poems.absolute().rglob("*.txt")) if poems else []
    texts = Texts(
        corpora=tuple((name, str(path)) for name, path in named),
        poems=tuple((path.stem, str(path)) for path in known),
        held_out=((held_out.name, str(held_out.absolute())),) if held_out else (),
    )
    noticed, refused = 0, 0
    refusing = set(ctx.settings.refuse_checks.split())
    with tqdm(total=len(chosen), unit="entry", leave=False, disable=None if len(chosen) > 1 else True) as bar:
        for one in chosen:
            findings = check_one(one, everybody[: everybody.index(one)], texts, nonce)
            is_current = advice.record_advice(ctx.db, one, findings, now=ctx.clock())
            views = [advice.advice_view(finding) for finding in findings]
            striking = [view for view in views if view.verdict == "look at it"]
            noticed += bool(striking) or all(view.number is None for view in views)  # such as a check that ended early
            refusals = [view for view in striking if view.check in refusing]
            if refusals and is_current:
                found = "; ".join(f"{view.check} is {view.number:.3g}, and may be {view.bound}" for view in refusals)
                reason = f"This event refuses what its checks notice: {found}."
                refused += len(disqualification.disqualify_all(ctx.db, [one.entry], reason, now=ctx.clock()))
            with bar.external_write_mode():
                click.echo(f"entry {short_id(one.entry)}: {printable(first_line(one.poem))}")
                echo_lines(advice_lines(views, brief=brief))
            bar.update()
    outcome = f"{pluralize(refused, 'entry', 'entries')} disqualified" if refused else "no entry was disqualified"
    click.echo(f"{pluralize(noticed, 'entry', 'entries')} of {len(chosen)} to look at; {outcome}")
