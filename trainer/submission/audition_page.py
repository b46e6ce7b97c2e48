"""An audition as a page: one file without dependencies, readable on a phone and without JavaScript."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from html import escape
from string import Template

from trainer.submission.candidates import Audition, Candidate

# The text is selected first, so that it can be copied by hand if a page may not use the clipboard.
SCRIPT = """
"use strict";
for (const more of document.querySelectorAll(".more")) {
  const line = more.querySelector("textarea");
  const button = document.createElement("button");
  const label = "Copy the command";
  button.type = "button";
  button.textContent = label;
  button.addEventListener("click", async () => {
    line.focus();
    line.select();
    let copied = false;
    try { await navigator.clipboard.writeText(line.value); copied = true; }
    catch { try { copied = document.execCommand("copy"); } catch { copied = false; } }
    button.textContent = copied ? "Copied" : "It is selected: copy it";
    setTimeout(() => { button.textContent = label; }, 3000);
  });
  more.append(button);
}
"""


def render_page(audition: Audition) -> str:
    """Return the page as HTML. Prompts, verses and names are untrusted and escaped."""
    template = importlib.resources.files("trainer.submission").joinpath("audition.html").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return Template(template).substitute(
        title=escape(audition.title),
        summary=escape(audition.summary),
        note=f'<p class="note">{escape(audition.note)}</p>' if audition.note else "",
        criteria=escape(audition.criteria),
        verses="\n".join(_item(rank, verse) for rank, verse in enumerate(audition.verses, start=1)),
        script=SCRIPT,
        script_digest=f"sha256-{digest}",
    )


def _item(rank: int, verse: Candidate) -> str:
    last_line = verse.prompt.rpartition("\n")[2]  # on which the verse begins
    prompt = f"<em>{escape(last_line)}</em>" if last_line else ""
    text = f"{prompt}{escape(verse.text)}".strip("\n")
    command = escape(verse.submit_command).replace("\r", "&#13;")  # HTML cannot hold it as it is
    lines = "".join(f"<span>{row}</span>" if row.strip() else '<span class="gap"></span>' for row in text.split("\n"))
    return (
        f'<li><details><summary><span class="rank"><span>{rank}</span>'
        f"<span>{escape(verse.details[0])}: score {verse.stats.score:.0f}</span></span>"
        f'<span class="verse" dir="auto">{lines}</span></summary>'
        f'<div class="more"><p>{escape("; ".join(verse.details[1:]))}.</p>'
        f'<label for="line-{rank}">Command to submit it</label>'
        f'<textarea id="line-{rank}" readonly>\n{command}</textarea></div></details></li>'
    )
