"""Any text at all, from the corpus to the pages: what each step makes of it, and that nothing is lost or breaks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from hypothesis import strategies as st
from markupsafe import escape

from arena.errors import ArenaError
from arena.services.entries import entry_status
from arena.services.queries import skeleton
from arena.verification.check import check_bundle
from arena.web.filters import single_line, verse_lines
from tests.support.evening import Evening, secret_of
from tests.support.pages import post
from trainer.checkpoint import read_checkpoint
from trainer.errors import CorpusError, OptionError, SubmitError, TrainerError
from trainer.options import start_training
from trainer.prompt import UnknownCharacter, prepare_prompt
from trainer.runtime.clock import RunClock
from trainer.sampling import make_recipe, verse_model, write_verses
from trainer.submission.submit import make_submission
from trainer.tokenizer import tokenizer_for
from trainer.verse.characters import clean, has_ink
from trainer.verse.errors import VerseError
from trainer.verse.text import sanitize, sanitize_lines, verse_text

ANY = st.characters(codec=None)  # all planes and categories, half surrogate pairs, too
ODD = st.sampled_from(
    "\u200b\u200c\u200d\ufeff\u00ad\u0301\u0308\u20dd\u0e49\u3164\u115f\u2800\u00a0\u3000\u2028\u2029\x85\x0b\x0c\r\t\x00\x1b"
    "\u202e\u2066\u200f\ue000\ufffe\U000e0041\U000e0101\ufe0f\U0001f468\U0001f3fd\U0001f1e9\U0001f1ea"
    "❤️कം്ក្ یaé\u0344\u212b\ufb01İıßﷺ"
)
PLAIN = st.sampled_from("ab \n")
TEXT = st.text(st.one_of(ODD, ANY, PLAIN), max_size=40)
TAME = st.text(st.one_of(st.characters(categories=["L", "M", "N", "P", "S", "Zs"]), PLAIN), max_size=40)  # mostly taken
CASES = st.builds(
    SimpleNamespace,
    text=st.one_of(TAME, TEXT),
    prompt=st.one_of(st.none(), TAME, TEXT),  # None: the beginning of the text
    name=st.one_of(TAME, TEXT),
    tokenizer=st.sampled_from(("char", "bpe")),
    temperature=st.sampled_from((0, 60, 120)),
    seed=st.integers(0, 2**32 - 1),
)
TINY = {"steps": 2, "device": "cpu", "n_layer": 1, "n_head": 2, "n_embd": 16, "block_size": 16, "batch_size": 4}


class Journeys:
    """Carries texts through corpus, tokenizer, training of two steps, generation, submission, verification and pages.

    Args:
        folder: for its runs and its event.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        self.evening = Evening(folder / "event").begin()
        self.outcomes: dict[str, int] = {}

    def travel(self, case: SimpleNamespace) -> str:
        """Carry one case as far as it goes; says where it was refused, or "verified"."""
        self.count += 1
        outcome = self._travel(case)
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        return outcome

    def _travel(self, case: SimpleNamespace) -> str:
        path = self.folder / "own.txt"
        path.write_bytes((case.text * 60 + "ab\n" * 60).encode("utf-8", "surrogatepass"))
        sizes = TINY | ({"vocab_size": 260} if case.tokenizer == "bpe" else {})
        try:
            run = start_training(
                {"corpus": str(path), "out": self.folder / f"run{self.count}", "tokenizer": case.tokenizer, **sizes},
                RunClock(),
            )
        except (CorpusError, TrainerError, VerseError) as error:
            _check_message(error)
            return "refused: corpus"
        checkpoint = read_checkpoint(run.path)
        text = clean(case.text * 60 + "ab\n" * 60).text
        tokenizer = tokenizer_for(checkpoint.vocabulary)
        assert tokenizer.decode(tokenizer.encode(text)) == text
        prompt = case.text[:8] if case.prompt is None else case.prompt
        try:
            prompt = prepare_prompt(prompt, checkpoint.vocabulary, near=True)
            recipe = make_recipe(checkpoint, prompt, case.temperature, case.seed, tokens=12, lines=0)
        except (OptionError, UnknownCharacter, VerseError) as error:
            _check_message(error)
            return "refused: prompt"
        [written] = write_verses(verse_model(checkpoint), checkpoint.vocabulary, [recipe])
        try:
            submission = make_submission(checkpoint, recipe)
        except SubmitError as error:
            _check_message(error)
            return "refused: verse"
        assert submission.written.ids == written.ids
        assert submission.text == verse_text(checkpoint.vocabulary, recipe, written.ids) and has_ink(submission.text)
        report = check_bundle(submission.data)
        assert (report.verdict, report.text, report.prompt) == ("PASS", submission.text, prompt or "\n")
        return self._enter(case.name, submission.data, submission.text, prompt or "\n")

    def _enter(self, name: str, bundle: bytes, text: str, prompt: str) -> str:
        """Enter the bundle, and look at the pages with it; names that are refused are Ada's."""
        evening, secret = self.evening, secret_of(f"Poet {self.count}")
        outcome = "verified"
        try:
            entry = self._claim(name, secret, bundle)
        except ArenaError as error:
            _check_message(error)
            assert error.code == "bad-name", error
            name, outcome = "Ada", "verified, with another name"
            entry = self._claim(name, secret, bundle)
        evening.verify_all()
        status = entry_status(evening.db, entry, secret, now=evening.now)
        assert (status.state, status.text, status.prompt) == ("verified", text, prompt)
        assert skeleton(status.name) and "\n" not in status.name
        phone = evening.phone()
        post(phone, f"/mine/{secret}", "/mine/link", secret=secret)
        page = phone.get("/mine").text
        assert str(escape(single_line(status.name))) in page
        for _, given, own in verse_lines(text, prompt):
            assert str(escape(given)) in page and str(escape(own)) in page
        assert "console" in evening.organizer().get("/console").text
        post(phone, "/mine", "/mine/withdraw", entry=entry)  # the next one finds a place
        return outcome

    def _claim(self, name: str, secret: str, bundle: bytes) -> str:
        from arena.services.claims import take_claim
        from arena.services.uploads import take_piece
        from tests.support.bundles import header_of

        evening = self.evening
        parts = (evening.db, evening.bundles, evening.spool)
        receipt = take_claim(*parts, header_of(bundle), secret, name, key=evening.key, now=evening.now)
        take_piece(*parts, receipt.entry, secret, receipt.offset, bundle[receipt.offset :], now=evening.now)
        return receipt.entry


def _check_message(error: Exception) -> None:
    """One sentence that a terminal can show."""
    message = sanitize_lines(str(error))
    message.encode()
    assert message and "\n" not in message and "Traceback" not in message
    assert sanitize(message)
