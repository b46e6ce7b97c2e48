"""A bundle's header: the claim of a whole entry, checked before a single weight is read. SPEC.md gives the format."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from trainer.verse import strictjson
from trainer.verse.certificate import Certificate, ids_digest
from trainer.verse.config import ModelConfig
from trainer.verse.errors import BundleError, NotText, VerseError, short
from trainer.verse.recipe import Recipe
from trainer.verse.text import length_of, replace_controls, verse_text
from trainer.verse.vocabulary import Vocabulary

T = TypeVar("T")

FORMAT = 1
METADATA_KEY = "verse"  # the one key in the safetensors metadata: several would have no fixed order
MAX_HEADER_BYTES = 2**20  # the claim: 65,536 merges and a verse take less
MAX_CURVE_POINTS = 200  # enough for a picture of the loss curve
LENGTH_BYTES = 8  # a safetensors file starts with the length of its header, unsigned little-endian
KEYS = ("format", "config", "tokenizer", "recipe", "verse", "certificate", "provenance", "tensors_sha256")


@dataclass(frozen=True)
class Claim:
    """A bundle's header: what its author claims, checked except for the weights."""

    config: ModelConfig
    vocabulary: Vocabulary
    recipe: Recipe
    ids: tuple[int, ...]  # the verse's tokens
    text: str  # the verse
    certificate: Certificate  # advisory
    provenance: Mapping[str, Any]  # how the model was trained, by its author's account; untrusted
    tensors_sha256: str  # of the bytes after the header, in hexadecimal
    header_bytes: int  # length of everything before the tensors

    @property
    def prompt(self) -> str:
        """The prompt as people see it; U+FFFD replaces characters that no verse may hold."""
        return replace_controls(self.vocabulary.decode(self.recipe.prompt_ids))

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.header_bytes + 2 * self.config.n_params


def header_length(start: bytes) -> int:
    """Return the number of bytes before the tensors, from the first eight bytes of a file.

    Raises:
        BundleError: No bundle starts with these bytes.
    """
    if len(start) < LENGTH_BYTES:
        raise BundleError(
            "too-short", f"this is not a bundle: it has {len(start)} bytes, and a bundle starts with {LENGTH_BYTES}"
        )
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if not 2 <= length <= MAX_HEADER_BYTES:
        raise BundleError(
            "header-length",
            f"this is not a bundle: its first {LENGTH_BYTES} bytes announce a header of {length:,} bytes, "
            f"and 2 to {MAX_HEADER_BYTES:,} are allowed",
        )
    return LENGTH_BYTES + length


def parse_claim(header: bytes) -> Claim:
    """Check a whole header: the bytes up to the first tensor.

    Raises:
        BundleError: It breaks the format; `code` names the rule.
    """
    total = header_length(header[:LENGTH_BYTES])
    if len(header) < total:
        raise BundleError("truncated", f"the file is cut off: its header ends after {len(header):,} of {total:,} bytes")
    try:
        outer = strictjson.parse(header[LENGTH_BYTES:total])
    except ValueError as error:
        raise BundleError("header-json", f"the header is not valid JSON: {error}") from None
    metadata = outer.pop("__metadata__", None) if isinstance(outer, dict) else None
    if not isinstance(metadata, dict) or set(metadata) != {METADATA_KEY} or not isinstance(metadata[METADATA_KEY], str):
        raise BundleError("no-claim", f'the header has no claim: "__metadata__" must have one key, "{METADATA_KEY}"')
    try:
        claim = strictjson.parse(metadata[METADATA_KEY].encode())
    except ValueError as error:
        raise BundleError("claim-json", f"the claim is not valid JSON: {error}") from None
    if not isinstance(claim, dict):
        raise BundleError("claim-json", "the claim must be a JSON object")
    if type(claim.get("format")) is not int or claim["format"] != FORMAT:
        raise BundleError(
            "format", f"the bundle has format {short(claim.get('format'))}; this program reads format {FORMAT}"
        )
    if set(claim) != set(KEYS):
        odd = sorted(set(claim) ^ set(KEYS))[0]
        raise BundleError("claim-keys", f"the claim must have exactly the keys {', '.join(KEYS)}; check {odd[:40]!r}")
    config = refuse_as("config", ModelConfig.from_dict, claim["config"])
    _check_layout(config, outer)
    vocabulary = refuse_as("tokenizer", Vocabulary.from_dict, claim["tokenizer"])
    if vocabulary.size != config.vocab_size:
        raise BundleError("tokenizer", f"the tokenizer has {vocabulary.size} tokens, the model {config.vocab_size}")
    recipe = refuse_as("recipe", Recipe.from_dict, claim["recipe"])
    refuse_as("recipe", recipe.check_fits, config)
    ids, text = _check_verse(vocabulary, recipe, claim["verse"])
    certificate = refuse_as("certificate", Certificate.from_dict, claim["certificate"])
    if (certificate.tokens, certificate.ids_sha256) != (len(ids), ids_digest(ids)):
        raise BundleError("certificate", "the certificate is about other tokens than the verse has")
    _check_provenance(claim["provenance"])
    digest = claim["tensors_sha256"]
    if not isinstance(digest, str) or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise BundleError("digest", "tensors_sha256 must be 64 hexadecimal digits")
    return Claim(config, vocabulary, recipe, ids, text, certificate, claim["provenance"], digest, total)


def refuse_as(code: str, check: Callable[[Any], T], value: object) -> T:
    """Run a check, and turn its error into a `BundleError`.

    Args:
        code: The rule's short name.
        check: Raises `VerseError` if the value breaks the rule.
        value: What to check.

    Raises:
        BundleError: The value breaks the rule.
    """
    try:
        return check(value)
    except VerseError as error:
        raise BundleError(code, f"{code}: {error}") from None


def _check_layout(config: ModelConfig, entries: Mapping[str, Any]) -> None:
    """Refuse any other tensors than those of the config, in float16, in the order of their names, without gaps."""
    shapes = config.tensor_shapes()
    for name in sorted(entries.keys() ^ shapes.keys()):
        kind = "lacks the tensor" if name in shapes else "has a tensor that does not belong to the model:"
        raise BundleError("tensor-names", f"the bundle {kind} {name[:80]!r}")
    offset = 0
    for name in sorted(shapes):
        entry = entries[name]
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise BundleError("tensor-entry", f"{name} must have exactly dtype, shape and data_offsets")
        if entry["dtype"] != "F16":
            raise BundleError("tensor-dtype", f"{name} is {short(entry['dtype'])}; weights are stored as F16")
        if entry["shape"] != list(shapes[name]) or not all(type(size) is int for size in entry["shape"]):
            raise BundleError(
                "tensor-shape", f"{name} must have shape {list(shapes[name])}, not {short(entry['shape'])}"
            )
        end = offset + 2 * math.prod(shapes[name])
        if entry["data_offsets"] != [offset, end] or not all(type(at) is int for at in entry["data_offsets"]):
            raise BundleError(
                "tensor-layout",
                f"{name} must lie at bytes [{offset}, {end}], not {short(entry['data_offsets'])}: "
                "tensors follow each other in the order of their names",
            )
        offset = end


def _check_verse(vocabulary: Vocabulary, recipe: Recipe, verse: object) -> tuple[tuple[int, ...], str]:
    """Refuse ids that are not a complete verse under the recipe, or a text that is not theirs."""
    if not isinstance(verse, dict) or set(verse) != {"ids", "text"} or not isinstance(verse["ids"], list):
        raise BundleError("verse", "a verse must have exactly ids, a list of tokens, and text")
    ids = verse["ids"]
    if not all(type(token) is int and 0 <= token < vocabulary.size for token in ids):
        raise BundleError("verse", f"the verse's tokens must be whole numbers from 0 to {vocabulary.size - 1}")
    length = length_of(vocabulary, recipe, ids)
    if length != len(ids):
        end = f"ends after {length}" if length is not None else "is longer"
        raise BundleError("verse-length", f"the verse has {len(ids)} tokens, but under its recipe it {end}")
    try:
        text = verse_text(vocabulary, recipe, ids)
    except NotText as error:
        raise BundleError("not-text", f"the verse is not text: {error.reason}") from None
    if verse["text"] != text:
        raise BundleError("text", "the text shown is not what the verse's tokens spell")
    return tuple(ids), text


def _check_provenance(provenance: object) -> None:
    if not isinstance(provenance, dict):
        raise BundleError("provenance", "provenance must be a JSON object")
    curve = provenance.get("loss_curve", [])
    if not isinstance(curve, list) or len(curve) > MAX_CURVE_POINTS:
        raise BundleError("provenance", f"provenance: loss_curve must be a list of at most {MAX_CURVE_POINTS} points")
