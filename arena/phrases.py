"""Sentences that are built from a template and values: English text for programs, which pages can translate.

The English text is the value itself, so that records, answers of the API and the command line are as with plain text.
`web.translation` looks the template up in the catalog of a language. `make translations` collects the templates.
"""

from __future__ import annotations

from collections.abc import Mapping


class Phrase(str):
    """An English text that knows what it was made of."""

    template: str  # the msgid; named fields as %(name)s where there are values
    plural: str  # the msgid for more than one; "": the number does not matter
    number: int  # that chooses between the two
    values: Mapping[str, object]  # by name; whole numbers are written as the language writes them

    def __new__(
        cls,
        text: str,
        template: str = "",
        plural: str = "",
        number: int = 1,
        values: Mapping[str, object] | None = None,
    ) -> Phrase:
        """Make a phrase.

        Args:
            text: in English.
            template: the msgid.
            plural: the msgid for more than one.
            number: chooses between the two.
            values: of the template's fields.
        """
        made = super().__new__(cls, text)
        made.template, made.plural, made.number, made.values = template or text, plural, number, values or {}
        return made

    def __getnewargs__(self) -> tuple[str, str, str, int, Mapping[str, object]]:  # type: ignore[override]
        return (str(self), self.template, self.plural, self.number, self.values)


def phrase(template: str, **values: object) -> Phrase:
    """Return a sentence that can be translated.

    >>> phrase("a match closes within the next %(seconds)s seconds", seconds=3600)
    'a match closes within the next 3,600 seconds'
    """
    return Phrase(template % _english(values) if values else template, template, values=values)


def counted(singular: str, plural: str, num: int, **values: object) -> Phrase:
    """Return a sentence whose form depends on a number, which it can hold as %(num)s.

    Args:
        singular: the template for one.
        plural: the template for any other number.
        num: how many.
        values: of further fields.

    >>> counted("%(num)s match is open", "%(num)s matches are open", 2)
    '2 matches are open'
    """
    values = {"num": num, **values}
    return Phrase((singular if num == 1 else plural) % _english(values), singular, plural, num, values)


def _english(values: Mapping[str, object]) -> dict[str, object]:
    return {name: f"{value:,}" if type(value) is int else value for name, value in values.items()}
