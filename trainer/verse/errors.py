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
    """The chosen tokens spell bytes that are not text.

    Attributes:
        reason: What is wrong with the bytes, for example "invalid UTF-8".
        offset: Where in the verse, in bytes.
    """

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"this seed writes bytes that are not text ({reason} at byte {offset}): choose another seed")
        self.reason, self.offset = reason, offset


class BundleError(VerseError):
    """A file that is not a bundle, or a bundle that breaks the format.

    Attributes:
        code: A short, stable name of the broken rule, for example "tensor-shape".
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
