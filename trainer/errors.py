"""What can go wrong while training. Errors carry the facts; the command line turns them into one line each."""


class TrainerError(Exception):
    """Base of everything the trainer refuses. `str(error)` is one sentence that says what to do."""


class OptionError(TrainerError):
    """Options that do not go together, or that lie outside their bounds."""


class CorpusError(TrainerError):
    """A text that cannot be trained on, or that could not be fetched."""


class UnknownCharacter(TrainerError):
    """A prompt holds a character that the corpus does not, or what is no character at all.

    Attributes:
        character: the first such character.
        position: where in the prompt, from 0.
    """

    def __init__(self, character: str, position: int, symbols: str = "") -> None:
        known = symbols.replace("\n", "")
        shown = known if len(known) <= 100 else known[:100] + "…"
        why = "it never stood in the corpus" if symbols else "half a surrogate pair is no character"
        advice = f"Write the prompt with these: {shown}" if symbols else "Type it again"
        super().__init__(
            f"the model knows no {character!r} (U+{ord(character):04X}, character {position + 1} of the prompt): "
            f"{why}. {advice}"
        )
        self.character, self.position = character, position


class PlanError(TrainerError):
    """A written plan that is damaged, or that does not belong to this run."""


class RunError(TrainerError):
    """A run folder that is missing, damaged, or in the way."""


class CheckpointError(TrainerError):
    """A file that is no checkpoint, or a damaged one."""


class Diverged(TrainerError):
    """The loss is no longer a number, or the weights grew beyond what can be stored.

    Attributes:
        step: where it was seen first.
    """

    def __init__(self, step: int, what: str, kept: str, learning_rate: float) -> None:
        super().__init__(
            f"the model has diverged at step {step:,}: {what}. {kept} "
            f"Train again with a smaller --learning-rate (it was {learning_rate:g})"
        )
        self.step = step


class Interrupted(TrainerError):
    """Ctrl-C. The message says what was saved, and how to go on."""


class SubmitError(TrainerError):
    """A verse that cannot be submitted. The message offers what can."""


class TicketError(TrainerError):
    """A file that holds no secret of an owner."""


class UploadError(TrainerError):
    """An event that cannot be reached, or that makes no sense. What was written stays written."""


class EventRefused(TrainerError):
    """The event said no.

    Attributes:
        code: the rule's short name, or the state that the entry ended in.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
