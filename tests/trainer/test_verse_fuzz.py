"""Whatever the bytes: the reader takes a whole bundle or gives its own error, and nothing else comes out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bundle_parts import Parts, bundle
from tests.support.damaged_bundles import fuzz, taken

STEADY = settings(derandomize=True, database=None)
COUNT = 3_000  # the campaign tries a million
CAMPAIGN = 1_000_000
SHARE = 20_000  # numbers between two notes of what is done

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
def test_thousands_of_damaged_bundles_meet_an_error_of_the_reader_and_most_of_its_rules() -> None:
    met = fuzz(0, COUNT)
    assert sum(met.values()) == COUNT
    reached = {
        "config",
        "tensor-names",
        "tensor-layout",
        "tokenizer",
        "recipe",
        "verse",
        "text",
        "certificate",
        "digest",
    }
    assert reached | {"header-json", "claim-json", "truncated", "taken"} <= met.keys(), met


@settings(STEADY, max_examples=500)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_an_error_of_the_reader(data: bytes) -> None:
    assert taken(data) != "taken"


@settings(STEADY, max_examples=500)
@given(st.binary(max_size=300), st.integers(0, 3))
def test_any_bytes_behind_a_true_header_length_are_refused_with_an_error_of_the_reader(
    data: bytes, spaces: int
) -> None:
    assert taken((len(data) + spaces).to_bytes(8, "little") + data + b" " * spaces) != "taken"


@settings(STEADY, max_examples=500)
@given(json_values)
def test_any_json_for_a_header_or_a_claim_is_refused_with_an_error_of_the_reader(value: Any) -> None:
    parts = Parts.fresh()
    parts.claim_text = json.dumps(value)
    assert taken(parts.build()) in ("claim-json", "format", "claim-keys")
    parts.header = json.dumps(value).encode()
    assert taken(parts.build()) in ("no-claim", "header-length")


@settings(STEADY, max_examples=500)
@given(st.sampled_from(sorted(Parts.fresh().claim)), json_values)
def test_any_json_for_a_part_of_the_claim_is_an_error_of_the_reader_or_harmless(key: str, value: Any) -> None:
    parts = Parts.fresh()
    parts.claim[key] = value
    parts.keep_digest = True
    harmless = key == "provenance" and isinstance(value, dict)
    assert (taken(parts.build()) == "taken") == (harmless or parts.build() == bundle())


@pytest.mark.campaign
def test_a_million_damaged_bundles_meet_an_error_of_the_reader() -> None:
    """Goes on where the last call was stopped; what it met is in campaign/bundle_fuzz.json."""
    path = Path(__file__).parents[2] / "campaign" / "bundle_fuzz.json"
    path.parent.mkdir(exist_ok=True)
    progress: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {"next": 0, "met": {}}
    while progress["next"] < CAMPAIGN:
        for code, count in fuzz(progress["next"], min(SHARE, CAMPAIGN - progress["next"])).items():
            progress["met"][code] = progress["met"].get(code, 0) + count
        progress["next"] += SHARE
        path.write_text(json.dumps(progress, indent=1), "utf-8")
