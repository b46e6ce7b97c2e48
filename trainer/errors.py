"""Errors of the trainer. They carry facts; the command line prints each as one line."""


class TrainerError(Exception):
    """Base of everything the trainer refuses. `str(error)` is one sentence that says what to do."""


class OptionError(TrainerError):
    """Options that contradict each other, or that are out of bounds."""


class CorpusError(TrainerError):
    """A text that cannot be trained on, or that could not be downloaded."""


class UnknownCharacter(TrainerError):
    """A prompt holds a character that the corpus does not have.

    Attributes:
        character: The first such character.
        position: Its index in the prompt, from 0.
    """

    def __init__(self, text: str, position: int, symbols: str, near: str = "") -> None:
        character = text[position]
        known = symbols.replace("\n", "")
        shown = known if len(known) <= 100 else known[:100] + "…"
        if near:
            advice = f"Give --near to take the nearest that it knows: {near!r}"
        else:
            advice = f"Write the prompt with these: {shown}"
        super().__init__(
            f"the model does not know {character!r} (U+{ord(character):04X}, character {position + 1} of the prompt): "
            f"it does not occur in the corpus. {advice}"
        )
        self.character, self.position = character, position


class PlanError(TrainerError):
    """A written plan that is damaged, or that does not belong to this run."""


class RunError(TrainerError):
    """A run folder that is missing, damaged, or in the way."""


class WriteError(TrainerError):
    """A run folder that can no longer be written: its disk is full, or a drive is gone."""


class CheckpointError(TrainerError):
    """A file that is not a checkpoint, or a damaged one."""


class RetrainError(TrainerError):
    """A bundle whose model cannot be trained again here."""


class Diverged(TrainerError):
    """The loss is not a finite number, or the weights are too large to be stored.

    Attributes:
        step: Where it was seen first.
    """

    def __init__(self, step: int, what: str, kept: str, learning_rate: float) -> None:
        super().__init__(
            f"the model has diverged at step {step:,}: {what}. {kept} "
            f"Train again with a smaller --learning-rate (it was {learning_rate:g})"
        )
        self.step = step


class Interrupted(TrainerError):
    """Training was stopped with Ctrl-C. The message says what was saved, and how to resume."""


class SubmitError(TrainerError):
    """A verse that cannot be submitted. The message offers others that can."""


class TicketError(TrainerError):
    """A file that does not hold a participant's secret."""


class UploadError(TrainerError):
    """An event that cannot be reached, or that gives an invalid response. Local files are kept."""


class EventRefused(TrainerError):
    """The event refused a request.

    Attributes:
        code: The rule's short name, or the state in which the entry ended.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
