"""What text, recipe, vocabulary, strict JSON, certificate and weights claim of themselves."""

from __future__ import annotations

import json
import math
import sys
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support import reference_engine as reference
from tests.support.small_models import LATIN_1, LETTERS, LINEAR_A, make_recipe, random_weights
from trainer.verse import strictjson
from trainer.verse.certificate import Certificate, ids_digest
from trainer.verse.config import ModelConfig
from trainer.verse.errors import ConfigError, NotText, RecipeError, VerseError, VocabularyError, WeightsError
from trainer.verse.model import VerseModel, check_weights, round_weights
from trainer.verse.recipe import Recipe, hundredths
from trainer.verse.text import LineEnd, is_control, length_of, verse_text
from trainer.verse.vocabulary import MAX_TOKEN_CHARACTERS, Vocabulary

STEADY = settings(derandomize=True, database=None)
SMALL = ModelConfig("modern", 1, 1, 8, 4, 4)


# --- text -------------------------------------------------------------------------------------------------------------


def vocabulary_of_any_kind() -> st.SearchStrategy[Vocabulary]:
    """Characters, and pairs of characters whose tokens run over line feeds and hold control characters."""
    merge = st.tuples(st.sampled_from((10, 32, 97, 7, 0xE4, 256, 257)), st.sampled_from((10, 32, 98, 0xE4, 256, 257)))
    in_order = st.lists(merge, max_size=6).filter(lambda m: all(max(pair) < 256 + i for i, pair in enumerate(m)))
    chars = st.text(st.characters(exclude_categories=["Cs"]), min_size=2, max_size=8).filter(
        lambda s: len(set(s)) == len(s)
    )
    return st.one_of(in_order.map(partial(Vocabulary.bpe, LATIN_1)), chars.map(Vocabulary.chars), st.just(LETTERS))


@st.composite
def tokens_under_a_recipe(draw: st.DrawFn) -> tuple[Vocabulary, Recipe, list[int]]:
    vocabulary = draw(vocabulary_of_any_kind())
    likely = [10, 32, 97, *range(256, vocabulary.size)] if vocabulary.kind == "bpe" else range(vocabulary.size)
    token = st.one_of(st.sampled_from(likely), st.integers(0, vocabulary.size - 1))
    ids = draw(st.lists(token, min_size=1, max_size=24))
    return vocabulary, make_recipe(tokens=draw(st.integers(1, 24)), lines=draw(st.integers(0, 4))), ids


def text_or_reason(vocabulary: Vocabulary, recipe: Recipe, ids: list[int]) -> str | NotText:
    try:
        return verse_text(vocabulary, recipe, ids)
    except NotText as error:
        return error


@pytest.mark.slow
@settings(STEADY, max_examples=400)
@given(tokens_under_a_recipe())
def test_where_a_verse_ends_and_what_it_says_is_what_the_specification_says(
    case: tuple[Vocabulary, Recipe, list[int]],
) -> None:
    vocabulary, recipe, ids = case
    spelled = reference.token_texts(vocabulary.to_dict())
    ends = [
        n
        for n in range(1, min(len(ids), recipe.tokens) + 1)
        if n == recipe.tokens or reference.cut("".join(spelled[i] for i in ids[:n]), recipe.lines) is not None
    ]
    length = length_of(vocabulary, recipe, ids)
    assert length == (ends[0] if ends else None)
    kept = ids[:length]
    text = text_or_reason(vocabulary, recipe, kept)
    expected = reference.text_of(vocabulary.to_dict(), kept, recipe.lines)
    assert (text if isinstance(text, str) else None) == expected
    if expected is not None:
        assert vocabulary.decode(kept).startswith(expected)
        assert sum(bool(line.strip(" ")) for line in expected.split("\n")) <= (
            recipe.lines or len(kept) * MAX_TOKEN_CHARACTERS
        )
        assert not any(is_control(character) for character in expected)
    elif isinstance(text, NotText):
        assert 1 <= int(text.reason.rpartition(" ")[2]) <= len(vocabulary.decode(kept))


@pytest.mark.slow
@settings(STEADY, max_examples=300)
@given(tokens_under_a_recipe(), st.lists(st.integers(0, 9), max_size=5))
def test_what_comes_after_the_end_of_a_verse_changes_neither_length_nor_text(
    case: tuple[Vocabulary, Recipe, list[int]], more: list[int]
) -> None:
    vocabulary, recipe, ids = case
    length = length_of(vocabulary, recipe, ids)
    assume(length is not None)
    longer = [*ids, *(token % vocabulary.size for token in more)]
    assert length_of(vocabulary, recipe, longer) == length
    end = LineEnd(recipe.lines)
    if any(end.push(vocabulary.tokens[token]) for token in ids[:length]):
        kept = text_or_reason(vocabulary, recipe, ids[:length])
        assert str(text_or_reason(vocabulary, recipe, longer)) == str(kept)


def test_a_token_that_spans_line_feeds_ends_the_verse_in_its_middle() -> None:
    recipe = make_recipe(lines=1)
    assert verse_text(LINEAR_A, recipe, [258]) == "ab"  # "ab\na"
    assert length_of(LINEAR_A, recipe, [32, 10, 259, 258, 65]) == 4  # the lines before are empty
    assert verse_text(LINEAR_A, recipe, [32, 10, 259, 258]) == " \n\n\nab"
    assert length_of(LINEAR_A, make_recipe(lines=2), [258, 259]) == 2  # "ab", "a"; the empty line does not count
    assert length_of(LINEAR_A, make_recipe(lines=3), [258, 259]) is None
    assert verse_text(LINEAR_A, make_recipe(lines=1), [97, 257]) == "aab"


def test_characters_after_the_cut_need_not_be_text() -> None:
    bell = Vocabulary.bpe("a\n\x07\x85", [(0, 1), (4, 2), (4, 3)])
    for token in (5, 6):
        assert verse_text(bell, make_recipe(lines=1), [token]) == "a"
        with pytest.raises(NotText):
            verse_text(bell, make_recipe(lines=0), [token])


def test_the_error_of_invalid_text_gives_its_place() -> None:
    symbols = Vocabulary.chars("ä\x07\u202e\n")
    for token, named in ((1, "U+0007"), (2, "U+202E")):
        with pytest.raises(NotText, match=rf"U\+{named[2:]} is its character 3"):
            verse_text(symbols, make_recipe(), [0, 0, token])


def test_exactly_the_characters_that_the_specification_names_are_controls() -> None:
    controls = {code for code in range(sys.maxunicode + 1) if is_control(chr(code))}
    assert controls == reference.FORBIDDEN


# --- recipe -----------------------------------------------------------------------------------------------------------


@settings(STEADY, max_examples=300)
@given(st.integers(-50, 300), st.sampled_from(("", "0", "000")))
def test_hundredths_reads_exactly_the_temperatures_of_a_recipe(value: int, zeros: str) -> None:
    text = str(Decimal(value) / 100) + ("." if "." not in str(Decimal(value) / 100) and zeros else "") + zeros
    if 0 <= value <= 200:
        assert hundredths(text) == value
        assert make_recipe(temperature=hundredths(text)).temperature == value
    else:
        with pytest.raises(RecipeError):
            hundredths(text)


@pytest.mark.parametrize(
    "text",
    (
        *(
            "",
            "warm",
            "0,8",
            "0x1",
            "nan",
            "inf",
            "-inf",
            "0.805",
            "2.01",
            "-0.01",
            "1e99",
            "1e999999",
            "1e9999999999999",
        ),
        "0.8" + "0" * 40 + "1",
        "9" * 10_000,
    ),
)
def test_hundredths_refuses_what_is_no_temperature_in_one_short_sentence(text: str) -> None:
    with pytest.raises(RecipeError, match="temperature must be") as caught:
        hundredths(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), (" 0.8 ", 80), ("2", 200), ("1e-2", 1), ("+1.10", 110), (".5", 50)]
)
def test_hundredths_takes_any_spelling_of_a_number(text: str, value: int) -> None:
    assert hundredths(text) == value


@settings(STEADY, max_examples=200)
@given(
    st.builds(
        Recipe,
        prompt_ids=st.lists(st.integers(0, 2**17), min_size=1, max_size=9).map(tuple),
        temperature=st.integers(0, 200),
        top_k=st.integers(0, 2**16),
        seed=st.integers(0, 2**32 - 1),
        tokens=st.integers(1, 1024),
        lines=st.integers(0, 64),
    )
)
def test_a_recipe_survives_json(recipe: Recipe) -> None:
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_a_recipe_made_from_a_list_is_equal_and_hashable() -> None:
    recipe = make_recipe(prompt_ids=[1, 2])
    assert recipe == make_recipe(prompt_ids=(1, 2))
    assert len({recipe, make_recipe(prompt_ids=(1, 2))}) == 1


@pytest.mark.parametrize(
    "odd",
    [{"prompt_ids": ()}, {"prompt_ids": (0,) * 1025}, {"prompt_ids": (True,)}, {"prompt_ids": (np.int64(1),)}]
    + [{"temperature": value} for value in (-1, 201, 0.8, True, None, "80")]
    + [{"top_k": value} for value in (-1, 2**16 + 1, 1.0)]
    + [{"seed": value} for value in (-1, 2**32, 1.0, False)]
    + [{"tokens": value} for value in (0, 1025)]
    + [{"lines": value} for value in (-1, 65)],
)
def test_a_recipe_out_of_bounds_cannot_be_made(odd: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        make_recipe(**odd)


def test_whether_a_recipe_fits_depends_on_vocabulary_and_positions() -> None:
    gpt2, modern = (ModelConfig(arch, 1, 1, 8, 20, 10) for arch in ("gpt2", "modern"))
    make_recipe(prompt_ids=(9,) * 4, tokens=16, top_k=10).check_fits(gpt2)
    make_recipe(prompt_ids=(9,) * 1024, tokens=1024).check_fits(modern)
    for odd in ({"prompt_ids": (10,)}, {"top_k": 11}, {"tokens": 20}, {"prompt_ids": (0,) * 20, "tokens": 1}):
        with pytest.raises(RecipeError):
            make_recipe(**odd).check_fits(gpt2)


# --- vocabulary -------------------------------------------------------------------------------------------------------


@settings(STEADY, max_examples=300)
@given(vocabulary_of_any_kind())
def test_a_vocabulary_survives_json_and_spells_as_the_specification_says(vocabulary: Vocabulary) -> None:
    again = Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict())))
    assert again == vocabulary
    assert list(again.tokens) == reference.token_texts(vocabulary.to_dict())
    assert len(again.tokens) == again.size
    assert again.decode(range(again.size)) == "".join(again.tokens)
    assert max(map(len, again.tokens)) <= MAX_TOKEN_CHARACTERS


def test_symbols_that_look_alike_stay_different() -> None:
    assert Vocabulary.chars("é" + "e\u0301").size == 3  # composed and decomposed: three characters, not two
    assert Vocabulary.chars("\ufeffa").tokens[0] == "\ufeff"
    assert Vocabulary.chars("😀a").tokens[0] == "😀"


@pytest.mark.parametrize("symbols", ["", "a", "aa", "a\ud800", "".join(map(chr, range(0x10000, 0x20001)))])
def test_symbols_that_are_no_tokenizer_are_refused(symbols: str) -> None:
    with pytest.raises(VocabularyError):
        Vocabulary.chars(symbols)


def test_the_largest_vocabularies_are_taken() -> None:
    assert Vocabulary.chars("".join(map(chr, range(0x10000, 0x20000)))).size == 65_536
    assert Vocabulary.bpe(LATIN_1, [(i % 256, 1) for i in range(65_280)]).size == 65_536
    longest = Vocabulary.bpe("a😀", [(i, i) for i in range(1, 5)])
    assert longest.tokens[-1] == "😀" * MAX_TOKEN_CHARACTERS


@pytest.mark.parametrize(
    "merges",
    [
        [(256, 0)],
        [(0, -1)],
        [(0, True)],
        [(97, 97), *[(255 + i, 255 + i) for i in range(1, 4)], (259, 0)],
        [(0, 1)] * 65_281,
    ],
    ids=["itself", "negative", "true", "17 characters", "too many"],
)
def test_merges_that_are_no_tokenizer_are_refused(merges: list[tuple[int, int]]) -> None:
    with pytest.raises(VocabularyError):
        Vocabulary.bpe(LATIN_1, merges)


# --- strict JSON ------------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(STEADY, max_examples=300)
@given(json_values)
def test_strict_json_parses_what_it_dumps_and_has_one_spelling(value: Any) -> None:
    assert strictjson.parse(strictjson.dump(value)) == value
    assert strictjson.dump(strictjson.parse(json.dumps(value, indent=2).encode())) == strictjson.dump(value)


@settings(STEADY, max_examples=500)
@given(st.binary(max_size=60) | st.text('{}[]":,0123456789.eE-+ \\u"ntrfalsd\ud7ff').map(lambda s: s.encode()))
def test_strict_json_parses_any_bytes_or_gives_a_reason(data: bytes) -> None:
    try:
        value = strictjson.parse(data)
    except ValueError as error:
        assert str(error)
    else:
        assert strictjson.parse(strictjson.dump(value)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a": 1, "a": 1}', "'a' stands twice"),
        (b'[{"x": {"\\u0061": 1, "a": 2}}]', "'a' stands twice"),
        (b"NaN", "not a finite number"),
        (b"[-Infinity]", "not a finite number"),
        (b"1e309", "not a finite number"),
        (b"1" + b"0" * 309, "not a finite number"),
        (b"9" * 100_000, "not a finite number"),
        (b'"\\ud800"', "half a surrogate pair"),
        (b'{"\\udfff": 1}', "half a surrogate pair"),
        (b'"\xed\xa0\x80"', "invalid UTF-8 at byte 1"),
        (b'"\xff"', "invalid UTF-8 at byte 1"),
        (b'"\xc0\x80"', "invalid UTF-8 at byte 1"),
        (b'\xef\xbb\xbf""', "BOM"),
        (b'\xff\xfe"\x00"\x00', "invalid UTF-8 at byte 0"),
        (b"", "character 0"),
        (b"01", "character 1"),
        (b"[-0]", "-0 is not an integer"),
        (b"1 1", "character 2"),
        (b"[1,]", "character"),
        (b"{'a': 1}", "character 1"),
        (b'"\n"', "character 1"),
        (b"[" * 65 + b"]" * 65, "nested more than 64 deep"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested more than 64 deep"),
        (b"[" * 10**6, "nested more than 64 deep"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else None,
)
def test_json_of_two_meanings_is_refused_with_its_reason(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        strictjson.parse(text)
    assert len(str(caught.value)) < 200


def test_json_at_the_limits_is_taken() -> None:
    assert strictjson.parse(b"[" * 64 + b"]" * 64)
    assert strictjson.parse(b"[" * 64 + b"1" + b"]" * 64)
    assert strictjson.parse(b"1" + b"0" * 308) == 10**308
    assert strictjson.parse(b'"\\ud83d\\ude00"') == "😀"
    assert strictjson.parse(b' {"a": 1, "A": 2} \n') == {"a": 1, "A": 2}


def test_how_deep_json_may_nest_does_not_depend_on_the_stack_it_is_read_on() -> None:
    def read_below(frames: int) -> Any:
        return read_below(frames - 1) if frames else strictjson.parse(b"[" * 64 + b"]" * 64)

    assert read_below(0) == read_below(sys.getrecursionlimit() - 250)


# --- certificate ------------------------------------------------------------------------------------------------------


def test_a_certificate_names_the_first_of_the_closest_decisions() -> None:
    certificate = Certificate.of([5, 6, 7, 8], np.array([0.5, 0.25, 0.25, 1.0]))
    assert (certificate.smallest_gap, certificate.position, certificate.tokens) == (0.25, 1, 4)
    assert Certificate.from_dict(json.loads(json.dumps(certificate.to_dict()))) == certificate
    assert certificate.ids_sha256 == ids_digest([5, 6, 7, 8]) == reference.ids_sha256([5, 6, 7, 8])


def test_two_certificates_agree_within_a_billionth_and_on_everything_else() -> None:
    one = Certificate.of([1, 2], np.array([0.5, 0.25]))

    def other(**changes: Any) -> Certificate:
        return Certificate.from_dict(one.to_dict() | changes)

    assert one.agrees_with(other(smallest_gap=0.25 + 9e-10))
    assert one.agrees_with(other(position=0)), "where two gaps are equally small, rounding chooses"
    for change in (
        {"smallest_gap": 0.25 + 2e-9},
        {"tokens": 3},
        {"ids_sha256": ids_digest([2, 1])},
    ):
        assert not one.agrees_with(other(**change))


@pytest.mark.parametrize(
    "odd",
    [{"smallest_gap": value} for value in (-1e-300, math.nan, math.inf, True, None, "0.1")]
    + [{"position": value} for value in (-1, 2, 0.0, True)]
    + [{"tokens": value} for value in (0, 2.0)]
    + [{"ids_sha256": 1}, {"engine": None}, {"engine": "verse-2"}, {"more": 1}],
)
def test_a_certificate_that_no_verse_has_cannot_be_made(odd: dict[str, Any]) -> None:
    with pytest.raises(VerseError):
        Certificate.from_dict(Certificate.of([1, 2], np.array([0.5, 0.25])).to_dict() | odd)


# --- weights and config -----------------------------------------------------------------------------------------------


def test_weights_are_rounded_to_nearest_with_ties_to_even() -> None:
    weights = {name: np.zeros(shape, np.float32) for name, shape in SMALL.tensor_shapes().items()}
    ulp = 2.0**-10  # the distance of float16 numbers above one
    weights["ln_f.weight"][:] = [1, 1 + ulp / 2, 1 + 1.5 * ulp, 1 + 0.51 * ulp, -1 - ulp / 2, 2.0**-25, 999.7, 1e-30]
    rounded = round_weights(SMALL, weights)["ln_f.weight"]
    assert rounded.dtype == np.float16
    assert rounded.tolist() == [1, 1, 1 + 2 * ulp, 1 + ulp, -1, 0, 999.5, 0]


@settings(STEADY, max_examples=200)
@given(st.floats(-999, 999, width=64))
def test_rounding_once_is_rounding_for_good(value: float) -> None:
    weights = {name: np.full(shape, value) for name, shape in SMALL.tensor_shapes().items()}
    rounded = round_weights(SMALL, weights)
    assert all(np.array_equal(rounded[name], again) for name, again in round_weights(SMALL, rounded).items())
    assert float(rounded["ln_f.weight"][0]) == float(np.float16(value))


def test_weights_that_are_not_the_models_are_refused_by_the_name_of_the_tensor() -> None:
    good = random_weights(SMALL, 0)
    check_weights(SMALL, good)
    wrong = {
        "missing": {name: weight for name, weight in good.items() if name != "ln_f.weight"},
        "extra": good | {"ln_f.bias": good["ln_f.weight"]},
        "misshapen": good | {"ln_f.weight": good["ln_f.weight"][:4]},
        "float32": good | {"ln_f.weight": good["ln_f.weight"].astype(np.float32)},
        **{str(v): good | {"ln_f.weight": np.full(8, v, np.float16)} for v in (math.nan, math.inf, 1000.5, -1000.5)},
    }
    for what, weights in wrong.items():
        with pytest.raises(WeightsError, match=r"ln_f\.") as caught:
            VerseModel(SMALL, weights)
        assert len(str(caught.value)) < 200, what
    check_weights(SMALL, good | {"ln_f.weight": np.full(8, 1000, np.float16)})


@pytest.mark.parametrize("beyond", [1001.0, 70_000.0, math.nan, -math.inf])
def test_weights_that_grew_out_of_bounds_in_training_are_refused_when_rounded(beyond: float) -> None:
    weights = {name: np.ones(shape, np.float32) for name, shape in SMALL.tensor_shapes().items()}
    weights["wte.weight"][3, 7] = beyond
    with pytest.raises(WeightsError, match=r"wte\.weight"):
        round_weights(SMALL, weights)


@settings(STEADY, max_examples=200)
@given(
    st.sampled_from(("modern", "gpt2")),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from((8, 16, 32, 64, 128)),
    st.integers(1, 1024),
    st.integers(2, 9000),
)
def test_tensors_are_those_of_the_specifications_table(
    arch: str, layers: int, heads: int, width: int, block: int, vocab: int
) -> None:
    config = ModelConfig(arch, layers, heads, heads * width, block, vocab)
    table = reference.shapes(config.to_dict())
    assert {name: list(shape) for name, shape in config.tensor_shapes().items()} == table
    assert config.n_params == sum(math.prod(shape) for shape in table.values())
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(("arch", "vocab_size", "tables"), [("modern", 512, 3), ("modern", 513, 0), ("gpt2", 65, 0)])
def test_a_modern_model_has_tables_of_previous_tokens_unless_its_vocabulary_is_large(
    arch: str, vocab_size: int, tables: int
) -> None:
    shapes = ModelConfig(arch, 4, 3, 96, 64, vocab_size).tensor_shapes()
    previous = [name for name in shapes if name.startswith("previous.")]
    assert len(previous) == tables
    assert all(shapes[name] == (vocab_size, 96) for name in previous)


@pytest.mark.parametrize("preset", [(2, 2, 128, 256), (4, 4, 128, 256), (6, 6, 384, 256), (12, 12, 768, 512)])
def test_every_preset_fits_a_bundle_and_one_beyond_it_does_not(preset: tuple[int, int, int, int]) -> None:
    layers, heads, width, block = preset
    for arch in ("modern", "gpt2"):
        ModelConfig(arch, layers, heads, width, block, 65)
        with pytest.raises(ConfigError, match="weights"):
            ModelConfig(arch, 64, 12, 768, 512, 65)
