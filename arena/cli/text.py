"""Reports as lines for people. Names and verses come from strangers: nothing in them may steer a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from arena.verification.check import Report

COLOURS = {"PASS": "green", "FAIL": "red", "UNDECIDED": "yellow", "MALFORMED": "red", "ERROR": "magenta"}
INDENT = " " * 11
MAX_SHOWN = 300  # characters of one piece of untrusted text


def visible(text: str) -> str:
    r"""Text with everything that does not print, or that reorders other text, made visible.

    >>> visible("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    return shown if len(shown) <= MAX_SHOWN else shown[: MAX_SHOWN - 1] + "…"


def lines_of(report: Report) -> Iterator[str]:
    """What people read: the first line has verdict, name and the main fact; further ones are indented."""
    head = f"{report.verdict:<{len(INDENT) - 1}} {visible(report.file)}"
    match report.verdict:
        case "PASS":
            yield f"{head}  {_tokens(report)}, {_gap(report.certificate)}"
        case "FAIL" | "UNDECIDED" if report.expected and report.got:
            yield f"{head}  {visible(report.reason or '')}"
            yield INDENT + _difference(report, report.expected, report.got)
        case _:
            yield f"{head}  {visible(report.reason or '')}"
    if report.certificate_agrees is False:
        claimed = _gap(report.claimed_certificate, "engine")
        yield f"{INDENT}remark: the file's certificate says {claimed}; here it is {_gap(report.certificate, 'engine')}"


def exit_status(reports: Sequence[Report]) -> int:
    """0: all PASS; 1: at least one FAIL or malformed file; 2: anything else."""
    verdicts = {report.verdict for report in reports}
    if verdicts & {"FAIL", "MALFORMED"}:
        return 1
    return 0 if verdicts == {"PASS"} else 2


def _difference(report: Report, expected: dict[str, Any], got: dict[str, Any]) -> str:
    where = f"at token {report.position} of {report.tokens}, "
    where += f"after {_quoted(report.before)}, " if report.before else "the first one, "
    if expected == got:
        return f"{where}{_quoted(got['text'])} is chosen, but only just"
    return f"{where}expected {_quoted(expected['text'])}, got {_quoted(got['text'])}"


def _quoted(text: str | None) -> str:
    return visible(repr(text))


def _tokens(report: Report) -> str:
    return f"{report.tokens:,} token{'' if report.tokens == 1 else 's'}"


def _gap(certificate: dict[str, Any] | None, *also: str) -> str:
    if certificate is None:
        return "no gap"
    text = f"smallest gap {certificate['smallest_gap']:.3g} at token {certificate['position']}"
    return text + "".join(f" ({visible(str(certificate[key]))})" for key in also)
