"""Errors of verses and bundles. They carry facts; command line and web pages print them as sentences."""

SHORT = 60  # characters of an untrusted value in an error: a bundle's header may hold a megabyte of them


def short(value: object) -> str:
    """Return a value as Python writes it, cut to `SHORT` characters."""
    text = repr(value)
    return text if len(text) <= SHORT else text[:SHORT] + "…"


class VerseError(ValueError):
    """Base of everything this package refuses. `str(error)` is one sentence for people."""


class ConfigError(VerseError):
    """A model configuration outside the bounds of SPEC.md."""


class RecipeError(VerseError):
    """A recipe that is out of bounds, or that does not fit the model."""


class VocabularyError(VerseError):
    """A tokenizer that SPEC.md does not allow."""


class WeightsError(VerseError):
    """Weights that are missing, not finite, too large or of the wrong shape."""


class LineError(VerseError):
    """A name that cannot be shown on one line. The message says what its characters must be."""


class NotText(VerseError):
    """The chosen tokens spell a control character that no verse may have.

    Attributes:
        reason: Which it is, and where in the verse, in words.
    """

    def __init__(self, character: str, offset: int) -> None:
        self.reason = f"the control character U+{ord(character):04X} is its character {offset + 1}"
        super().__init__(f"this seed writes what is not text ({self.reason}): choose another seed")


class BundleError(VerseError):
    """A file that is not a bundle, or a bundle that breaks the format.

    Attributes:
        code: A short, stable name of the broken rule, for example "tensor-shape".
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
