"""What can be wrong with a verse or a bundle. Errors carry the facts; the edges turn them into sentences."""

SHORT = 60  # characters of a stranger's value in an error: a bundle's header may hold a megabyte of them


def short(value: object) -> str:
    """A value as Python writes it, cut where it would drown the sentence it stands in."""
    text = repr(value)
    return text if len(text) <= SHORT else text[:SHORT] + "…"


class VerseError(ValueError):
    """Base of everything this package refuses. `str(error)` is one sentence for a person."""


class ConfigError(VerseError):
    """A model configuration outside the bounds of SPEC.md."""


class RecipeError(VerseError):
    """A recipe that is out of bounds, or that does not fit its model."""


class VocabularyError(VerseError):
    """A tokenizer, as plain data, that SPEC.md does not allow."""


class WeightsError(VerseError):
    """Weights that are missing, misshapen, not finite or too large."""


class NotText(VerseError):
    """The chosen tokens spell bytes that are no text.

    Attributes:
        reason: what is wrong with the bytes, e.g. "invalid UTF-8".
        offset: where in the verse, in bytes.
    """

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"this seed writes bytes that are no text ({reason} at byte {offset}): choose another seed")
        self.reason, self.offset = reason, offset


class NotFinite(VerseError):
    """The model computes a logit that is no finite number, so it writes no verse.

    Attributes:
        position: index of the generated token, from 0.
    """

    def __init__(self, position: int) -> None:
        super().__init__(f"the model's logits are not finite at token {position}: its weights are broken, train again")
        self.position = position


class BundleError(VerseError):
    """A file that is no bundle, or a bundle that breaks the format.

    Attributes:
        code: a short stable name of the rule broken, e.g. "tensor-shape".
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
