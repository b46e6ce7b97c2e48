"""An audition as a page: one file that needs nothing else, reads on a phone, and works without JavaScript."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from html import escape
from string import Template

from trainer.submission.candidates import Audition, Heard

# Selecting first, so that the line can be copied by hand where a page may not reach the clipboard.
SCRIPT = """
"use strict";
for (const more of document.querySelectorAll(".more")) {
  const line = more.querySelector("textarea");
  const button = document.createElement("button");
  const rest = "Copy the line";
  button.type = "button";
  button.textContent = rest;
  button.addEventListener("click", async () => {
    line.focus();
    line.select();
    let copied = false;
    try { await navigator.clipboard.writeText(line.value); copied = true; }
    catch { try { copied = document.execCommand("copy"); } catch { copied = false; } }
    button.textContent = copied ? "Copied" : "It is selected: copy it";
    setTimeout(() => { button.textContent = rest; }, 3000);
  });
  more.append(button);
}
"""


def page_of(audition: Audition) -> str:
    """The page. Prompts, verses and names are a stranger's, and nothing of them is markup."""
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


def _item(rank: int, verse: Heard) -> str:
    before = verse.prompt.rpartition("\n")[2]  # on the line where the verse begins
    prompt = f"<em>{escape(before)}</em>" if before else ""
    text = f"{prompt}{escape(verse.text)}".strip("\n")
    line = escape(verse.submit_line).replace("\r", "&#13;")  # which markup may not hold as it is
    lines = "".join(f"<span>{row}</span>" if row.strip() else '<span class="gap"></span>' for row in text.split("\n"))
    return (
        f'<li><details><summary><span class="rank"><span>{rank}</span>'
        f"<span>{escape(verse.figures[0])}: score {verse.merits.score:.0f}</span></span>"
        f'<span class="verse" dir="auto">{lines}</span></summary>'
        f'<div class="more"><p>{escape("; ".join(verse.figures[1:]))}.</p>'
        f'<label for="line-{rank}">To submit it</label>'
        f'<textarea id="line-{rank}" readonly>\n{line}</textarea></div></details></li>'
    )
