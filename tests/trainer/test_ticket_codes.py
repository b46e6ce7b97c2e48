"""Codes of tickets: typed by hand, checked, and never taken for another one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.verse.identity import is_secret
from trainer.verse.ticket import ALPHABET, RANDOM_SYMBOLS, TicketFault, is_ticket, new_ticket, read_ticket

CODE = "0123-4567-89AB-CDEF-GH55"


@pytest.mark.parametrize(
    "typed",
    [
        CODE,
        CODE.lower(),
        CODE.replace("-", ""),
        CODE.replace("-", " ") + "\n",
        "  " + CODE.replace("-", "\u2013"),
        CODE.replace("0", "O").replace("1", "l"),
        CODE.replace("0", "o").replace("1", "I"),
    ],
)
def test_a_code_is_read_however_it_is_typed(typed: str) -> None:
    assert read_ticket(typed) == CODE


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("", "20 letters and digits, and this has 0"),
        (CODE[:-1], "this has 19"),
        (CODE + "0", "this has 21"),
        ("9" * 5_000, "this has 200"),
        (CODE.replace("5", "*"), "has '\\*'"),
        (CODE.replace("A", "B"), "compare it with the card"),
    ],
)
def test_another_text_is_refused_with_what_is_wrong(typed: str, why: str) -> None:
    with pytest.raises(TicketFault, match=why):
        read_ticket(typed)


def test_a_code_has_ninety_random_bits_and_is_a_secret() -> None:
    assert len(ALPHABET) == 32 and RANDOM_SYMBOLS * 5 == 90
    codes = {new_ticket() for _ in range(1_000)}
    assert len(codes) == 1_000
    assert all(is_secret(code) and is_ticket(code) and read_ticket(code) == code for code in codes)


def test_of_a_thousand_typing_errors_hardly_one_is_another_ticket() -> None:
    dice, taken = random.Random(1), 0
    for _ in range(1_000):
        symbols = list(new_ticket())
        place = dice.choice([place for place, symbol in enumerate(symbols) if symbol != "-"])
        symbols[place] = dice.choice([symbol for symbol in ALPHABET if symbol != symbols[place]])
        taken += is_ticket("".join(symbols))
    assert taken <= 10


@given(st.text(max_size=40))
def test_any_text_is_a_ticket_or_a_fault(text: str) -> None:
    try:
        code = read_ticket(text)
    except TicketFault:
        return
    assert is_ticket(code)
